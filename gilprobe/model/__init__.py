"""The model: plain data that is measured, saved, loaded and shown. Files are checked strictly.

No clocks, no drawing, files only on request. :mod:`gilprobe.report` and :mod:`gilprobe.results` belong here;
they are at the top, since scripts import them by these names.
"""
