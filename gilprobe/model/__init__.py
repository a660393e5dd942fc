"""The model: plain data that is measured, saved, read back and shown. Strict about files.

No clock, no file that is not asked for, no drawing. :mod:`gilprobe.report` and :mod:`gilprobe.results` belong
here; they stand at the top, since scripts import them by these names.
"""
