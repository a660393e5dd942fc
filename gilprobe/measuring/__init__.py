"""Measuring: teams of threads, repeated and interleaved runs, the machine they ran on, what chance could do.

It knows work as functions to be called. What they show, and whether a GIL is traced meanwhile, is decided
above.
"""
