"""Reference counts: how they go up and down, how they race, and what counting costs several threads.

A scenario is one module. How a count is read is not decided here, but in :mod:`gilprobe.refs`.
"""
