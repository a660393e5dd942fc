"""Middleware for every WSGI application: the header Server-Timing, and labels."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from gilprobe.integrations.figures import running
from gilprobe.integrations.timing import Stretch, server_timing
from gilprobe.tracing.labelling import label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from gilprobe.tracing.monitoring import Monitor


class WsgiMiddleware:
    """Tells each response how long its thread waited for the GIL and held it, until the response began.

    Parameters
    ----------
    app : WSGI application
    monitor : Monitor, optional
        Started if it does not run. Default: one that all integrations share.
    label : callable, optional
        Gives a request's label from its environ. Use the route, of which there are few, not the address.
    header : bool
        Whether responses get the header. A public service may not want to tell its clients.
    """

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        monitor: Monitor | None = None,
        *,
        label: Callable[[dict[str, Any]], str] | None = None,
        header: bool = True,
    ) -> None:
        self._app, self._label, self._header = app, label, header
        self.monitor = running(monitor)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve a request."""
        stretch = Stretch()

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            told = server_timing(stretch.so_far()) if self._header else None
            return start_response(status, [*headers, *([("Server-Timing", told)] if told else [])], *rest)

        with nullcontext() if self._label is None else label(self._label(environ)):
            return self._app(environ, started)
