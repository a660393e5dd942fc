// Heights of the parts of the timeline's rows, CSS pixels.

export const GIL_HEIGHT = 46;
export const ROW_HEIGHT = 38;
export const HOLD_AREA = 20; // above a thread's line
export const WAIT_AREA = 11; // below it
export const GIL_AREA = 34;
