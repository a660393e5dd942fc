"""Trace who holds the GIL and who waits; write and read recordings of it.

The native core counts; here numbers get names and become the model. Nothing here runs a program or draws a
report.
"""
