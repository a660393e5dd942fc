"""What runs in a process that gilprobe attaches to.

It is loaded into other people's processes, so it imports little, and writes nothing on their standard error.
The tool's side is :mod:`gilprobe.attaching`.
"""
