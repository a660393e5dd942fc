"""A field that counts nanoseconds, as a property in seconds."""

from __future__ import annotations

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from typing import Any


class Seconds(property):
    """The property of a row that tells one of its times in seconds.

    Parameters
    ----------
    field : str
        The row's attribute in nanoseconds.
    what : str
        The property's docstring.
    """

    if TYPE_CHECKING:

        def __get__(self, row: Any, owner: type | None = None, /) -> float: ...  # type: ignore[override]

    def __init__(self, field: str, what: str) -> None:
        def seconds(row: Any) -> float:
            found: int = getattr(row, field)
            return found / 1e9

        super().__init__(seconds)
        self.__doc__ = what  # before 3.13 the argument would lose to the class's own
