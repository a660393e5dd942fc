"""What is written as HTML or SVG: templates, in which all that is foreign is escaped.

Only markup stands here; what goes into it is made by the renderers.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, FunctionLoader, StrictUndefined

from gilprobe.render.shared.words import visible

if TYPE_CHECKING:
    from jinja2 import Template


def template(name: str) -> Template:
    """Return a template of this folder."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    environment = Environment(loader=FunctionLoader(_source), autoescape=True, undefined=StrictUndefined)
    environment.filters["visible"] = visible
    return environment


def _source(name: str) -> str:
    # Without line ends and indents: a picture and a cell of a notebook would show those between elements.
    lines = files(__name__).joinpath(name).read_text(encoding="utf-8").splitlines()
    return "".join(map(str.strip, lines))
