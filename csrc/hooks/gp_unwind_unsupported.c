/* Stands for gp_unwind.c on other processors than x86-64 (CMakeLists.txt): no tables, no way up. */

#include "hooks/gp_unwind.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"
/* clang-format off */

gp_status gp_unwind_find(const void *code, gp_unwind_tables *tables) { return GP_EUNSUPPORTED; }
gp_status gp_unwind_open(const uint8_t *header, gp_unwind_tables *tables) { return GP_EUNSUPPORTED; }
void gp_unwind_enter(const gp_unwind_tables *tables, gp_unwind_frame *frame) { frame->start = 0; }
gp_unwind_frame gp_unwind_begin(const gp_unwind_tables *tables, const char *frame) { return (gp_unwind_frame){0}; }
bool gp_unwind_step(const gp_unwind_tables *tables, gp_unwind_frame *frame) { return false; }
