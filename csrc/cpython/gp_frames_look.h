#ifndef GP_FRAMES_LOOK_H
#define GP_FRAMES_LOOK_H

#include "trace/gp_looker.h"

/* What a looker sees with, in this interpreter. After gp_frames_check. */
extern const gp_looker_eyes gp_frames_look_eyes;

#endif
