"""Measure teams of threads in repeated, interleaved runs; describe the machine; test for significance.

Work is just functions to call. What they show, and whether a GIL is traced, is decided above.
"""
