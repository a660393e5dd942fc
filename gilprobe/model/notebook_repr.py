"""How the model shows itself in a notebook: it names who draws it, and knows nothing about drawing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_RENDERER = "gilprobe.render.notebook.bundle"
"""Loaded when a notebook asks. A name, not an import: plain data must work where no renderer can be loaded,
and what stands above it can't be among what it needs."""


class NotebookRepr:
    """Base of what a notebook shows as tables. Without fields: to a dataclass it adds two methods only."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        bundle: dict[str, str] = importlib.import_module(_RENDERER).bundle(self)
        wanted = bundle.keys() if include is None else set(include)
        return {kind: text for kind, text in bundle.items() if kind in wanted and kind not in (exclude or ())}
