"""FastAPI and Starlette: one line, ``gilprobe.integrations.fastapi.instrument(app)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.integrations.asgi import AsgiMiddleware
from gilprobe.integrations.figures import needed
from gilprobe.integrations.timing import NO_ROUTE, route_label

if TYPE_CHECKING:
    from typing import Any

    from gilprobe.tracing.monitoring import Monitor


def instrument(app: Any, monitor: Monitor | None = None, *, header: bool = True) -> None:
    """Label requests by their route, and add the header Server-Timing.

    The route is looked for before the framework does, a second time: it must be known when the work begins.

    Parameters
    ----------
    app : fastapi.FastAPI or starlette.applications.Starlette
    monitor : Monitor, optional
        Started if it does not run. Default: one that all integrations share.
    header : bool
        Whether responses get the header.
    """
    full = needed("starlette.routing", "fastapi").Match.FULL

    def label(scope: Any) -> str:
        for route in app.routes:
            if route.matches(scope)[0] == full:
                return route_label(scope["method"], getattr(route, "path", NO_ROUTE))
        return NO_ROUTE

    app.add_middleware(AsgiMiddleware, monitor=monitor, label=label, header=header)
