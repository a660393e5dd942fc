"""Tracing: who holds the GIL and who waits, while it runs and read back from a recording.

The numbers come from the native core; here they get names and become the model. Nothing here runs somebody's
program or draws a report.
"""
