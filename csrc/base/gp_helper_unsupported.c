/* Stands for gp_helper.c and gp_sampler.c where there is no Linux (CMakeLists.txt): gp_sampler_start says no,
 * so that nobody has a sampler to call the rest with. */

#include "base/gp_helper.h"
#include "base/gp_sampler.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"
/* clang-format off */

bool gp_helpers_pause(void) { return false; }
void gp_helpers_resume(void) {}
bool gp_helpers_are_paused(void) { return false; }

gp_status gp_sampler_start(const void *object, gp_sampler_read read, int64_t own, uint64_t period_ns,
                           size_t keep, gp_sampler **sampler, int *error) { return GP_EUNSUPPORTED; }
void gp_sampler_stop(gp_sampler *sampler) {}
gp_sampler_seen gp_sampler_result(const gp_sampler *sampler) { return (gp_sampler_seen){0}; }
void gp_sampler_free(gp_sampler *sampler) {}
