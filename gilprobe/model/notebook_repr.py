"""How the model is shown in a notebook: it names its renderer, and draws nothing itself."""

from __future__ import annotations

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Iterable

_RENDERER = "gilprobe.render.notebook.bundle"
"""Loaded when a notebook asks. A name, not an import: plain data must work without renderers, and may not
import from the layers above."""


class NotebookRepr:
    """Base of classes that a notebook shows as tables. Adds two methods and no fields."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        import importlib

        bundle: dict[str, str] = importlib.import_module(_RENDERER).bundle(self)
        wanted = bundle.keys() if include is None else set(include)
        return {kind: text for kind, text in bundle.items() if kind in wanted and kind not in (exclude or ())}
