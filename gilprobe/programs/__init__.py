"""Programs: run one as ``python`` would, record it, and follow its children.

This is loaded into other people's processes, so it brings as little as it can. What a recording says is made
in :mod:`gilprobe.tracing`; what of it is printed, by the command line.
"""
