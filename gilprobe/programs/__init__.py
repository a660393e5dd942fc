"""Run a program as ``python`` would, record it, and follow its children.

It is loaded into other people's processes, so it imports little. :mod:`gilprobe.tracing` writes the
recordings; the command line prints reports.
"""
