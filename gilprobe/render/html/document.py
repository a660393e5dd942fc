"""The shell of a page: it allows only its own scripts, by hash; foreign names are data, never markup."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

from gilprobe import __version__
from gilprobe.render.templates import template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SCHEMA = 1
"""Version of the data in a page, for other tools; the page has its own scripts."""

_HERE = "gilprobe.render.html"
_SCRIPTS: Mapping[str, Sequence[str]] = {
    "processes": ("processes.js",),
    "results": ("vendored/echarts.min.js", "results.js"),
}
"""Bundled scripts of each kind of page; ``npm run build`` makes them from ``scripts/``."""

_STYLES: Mapping[str, Sequence[str]] = {
    "processes": ("page.css", "process.css", "timeline.css", "pictures.css"),
    "results": ("page.css", "scenarios.css"),
}

# A script element ends at its end tag, even inside a JSON string: "<" must be escaped.
_UNSAFE = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def pieces(data: Mapping[str, object], *, title: str) -> Iterator[str]:
    """Write a page.

    Parameters
    ----------
    data : mapping
        The scripts' data, for :mod:`json`: ``kind`` and the kind's own keys.
    title : str
        The document's title; escaped here.

    Yields
    ------
    str
        Pieces of an HTML document.
    """
    kind = str(data["kind"])
    scripts, styles = ([*map(_asset, names[kind])] for names in (_SCRIPTS, _STYLES))
    yield from template("page.html.j2").generate(
        title=title,
        version=__version__,
        policy=_policy(scripts, styles),
        scripts=list(map(Markup, scripts)),
        styles=list(map(Markup, styles)),
        data=Markup(embedded({"schema": SCHEMA, "gilprobe": __version__, **data})),  # noqa: S704
    )


def embedded(data: object) -> str:
    """Return `data` as JSON that can't end its script element."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).translate(_UNSAFE)


def _policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """Return the Content-Security-Policy: only these scripts and styles."""
    return (
        f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(styles)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hashes(texts: Sequence[str]) -> str:
    digests = (b64encode(sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def _asset(name: str) -> str:
    return files(_HERE).joinpath("assets", *name.split("/")).read_text(encoding="utf-8")
