#ifndef GP_FORMAT_H
#define GP_FORMAT_H

/* Codes and flags in a recording (docs/recording-format.md), for the writer and the reader. The chunks around
 * them are in gp_chunk.h. */

/* What a place of a PLAC is. */
typedef enum {
    GP_PLACE_PYTHON,
    GP_PLACE_NATIVE,
    GP_PLACE_DEEPER, /* deeper frames are missing */
    GP_PLACE_UNSEEN, /* it could not be read */
    GP_PLACE_TASK,   /* below it is what an event loop of asyncio called */
} gp_place_kind;

/* Flags of a SNAP. */
enum {
    GP_SNAPSHOT_FINAL = 1,
    GP_SNAPSHOT_HOOKS_LOST = 2,
    GP_SNAPSHOT_TOLD_APART = 4,
    GP_SNAPSHOT_SITES = 8,
    GP_SNAPSHOT_STACKS = 16,
    GP_SNAPSHOT_TIMELINE = 32,
    GP_SNAPSHOT_CPU = 64,
    GP_SNAPSHOT_OTHERS_MISSED = 128,
    GP_SNAPSHOT_LOOKS = 256,
    GP_SNAPSHOT_LOOKED = 512,     /* and the time that they stand for, and what was seen in long waits */
    GP_SNAPSHOT_PAUSES = 1024,    /* of the garbage collector */
    GP_SNAPSHOT_CALLBACKS = 2048, /* of event loops */
    GP_SNAPSHOT_TAGS = 4096,      /* what the code ran for; public is the word label */
    GP_SNAPSHOT_FLAGS = 8191,     /* all of them */
};

#endif
