"""The docs as a site: ``sphinx-build -W docs build/site``, with gilprobe installed.

Sphinx with MyST: the pages are Markdown, readable in the repository, too. Signatures and docstrings come from
the installed package. (Material for MkDocs reaches its end of life in May 2027.)
"""

from __future__ import annotations

import gilprobe

project = "gilprobe"
author = copyright = "The gilprobe developers"  # noqa: A001  # Sphinx's name for it
version = release = gilprobe.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.doctest", "numpydoc"]
exclude_patterns = ["course/source", "notebook/source", "examples", "**.ipynb", "**.py"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = "gilprobe"

# Headings get the anchors that the repository's own view gives them.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False  # autodoc lists them
numpydoc_class_members_toctree = False

# `sphinx-build -b doctest` runs the examples of the docstrings.
doctest_global_setup = "import hashlib, time; import gilprobe"
