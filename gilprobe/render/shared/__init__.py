"""Common parts of all renderers: words and numbers, pages of lines and tables, rows, weights, lanes.

Nothing here depends on a terminal, a browser or a file format.
"""
