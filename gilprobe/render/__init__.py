"""Pictures of the model: data in, text out. Nothing here measures, decides or prints.

A room for each kind of reader: a terminal, a page, a notebook, other tools. What several use is in `shared`.
`terminal` and `svg` stand here, since notebooks and scripts import them by these names.
"""
