"""Show the model in a notebook.

The terminal's text as HTML elements. It needs no installed notebook, and computes nothing.
"""
