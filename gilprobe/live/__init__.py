"""Watch a running program: what it did in the last second, on a screen or as lines of JSON.

The program itself only sends the numbers of its trace when it is asked (:mod:`gilprobe.live.server`); the
rest happens in the process that watches. Nothing here decides which program is watched, or starts one.
"""
