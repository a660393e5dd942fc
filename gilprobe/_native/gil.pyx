# cython: language_level=3, freethreading_compatible=True
"""The tracer's binding; holds all of the tracer's native state."""
