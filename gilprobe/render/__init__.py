"""Render the model: data in, text out. Nothing here measures, decides or prints.

A folder for each kind of reader: terminal, HTML page, notebook, other tools. Common parts are in `shared`.
`terminal` and `svg` are here, since notebooks and scripts import them by these names.
"""
