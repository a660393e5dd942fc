"""Middleware for every ASGI application: the header Server-Timing, and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.integrations.figures import running
from gilprobe.integrations.timing import Steps, server_timing
from gilprobe.tracing.labelling import in_steps, label

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
    from typing import Any

    from gilprobe.tracing.monitoring import Monitor

    Scope = MutableMapping[str, Any]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class AsgiMiddleware:
    """Tells each response how long its steps in the event loop waited for the GIL and held it.

    The time that other tasks use meanwhile is not in it, nor that of threads which the request started.

    Parameters
    ----------
    app : ASGI application
    monitor : Monitor, optional
        Started if it does not run. Default: one that all integrations share.
    label : callable, optional
        Gives a request's label from its scope. Use the route, of which there are few, not the address.
    header : bool
        Whether responses get the header. A public service may not want to tell its clients.
    """

    def __init__(
        self,
        app: Callable[..., Coroutine[Any, Any, None]],
        monitor: Monitor | None = None,
        *,
        label: Callable[[Scope], str] | None = None,
        header: bool = True,
    ) -> None:
        self._app, self._label, self._header = app, label, header
        self.monitor = running(monitor)

    async def __call__(self, scope: Scope, receive: Callable[[], Awaitable[Scope]], send: Send) -> None:
        """Serve a request; what is no request of HTTP passes by."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        steps = Steps()

        async def sending(message: MutableMapping[str, Any]) -> None:
            if self._header and message["type"] == "http.response.start":
                told = server_timing(steps.so_far())
                added = [] if told is None else [(b"server-timing", told.encode("ascii"))]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        served = in_steps(steps, self._app(scope, receive, sending))
        await (served if self._label is None else in_steps(label(self._label(scope)), served))
