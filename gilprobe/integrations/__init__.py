"""Faces to other people's libraries: metrics, traces, web frameworks and task queues.

Each module needs the package that it is named after, imports it only when it is used, and names the extra
that installs it. Nothing here measures: numbers come from a monitor. No module of gilprobe imports from here.
"""
