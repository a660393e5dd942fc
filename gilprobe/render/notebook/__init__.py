"""What a notebook shows of the model.

The text of a terminal as HTML elements; it needs no notebook to be installed, and computes nothing.
"""
