"""What every rendering is made of: words and numbers, pages of lines and tables, rows, weights, lanes.

Nothing here knows a terminal, a browser or a file format.
"""
