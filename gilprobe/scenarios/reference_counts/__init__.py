"""Reference counts: how they go up and down, how they race, and what counting costs several threads.

A scenario is one module. The counts are read by :mod:`gilprobe.refs`.
"""
