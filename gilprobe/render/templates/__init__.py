"""Templates of HTML and SVG, in which foreign text is escaped.

Only markup is here; the renderers make its content.
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
    # Without line ends and indents, which a picture or a notebook's cell would show.
    lines = files(__name__).joinpath(name).read_text(encoding="utf-8").splitlines()
    return "".join(map(str.strip, lines))
