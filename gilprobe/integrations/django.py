"""Django: one line in MIDDLEWARE, ``"gilprobe.integrations.django.middleware"``, as the first."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING

from gilprobe.integrations.figures import needed, running
from gilprobe.integrations.timing import NO_ROUTE, Steps, Stretch, route_label, server_timing
from gilprobe.tracing.labelling import in_steps, label

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Label requests by their route, and add the header Server-Timing; under WSGI and ASGI."""
    running(None)
    if iscoroutinefunction(get_response) or hasattr(get_response, "_is_coroutine_marker"):

        async def answer_in_steps(request: Any) -> Any:
            steps = Steps()
            response = await in_steps(label(_route(request)), in_steps(steps, get_response(request)))
            return _told(response, server_timing(steps.so_far()))

        return answer_in_steps

    def answer(request: Any) -> Any:
        stretch = Stretch()
        with label(_route(request)):
            response = get_response(request)
        return _told(response, server_timing(stretch.so_far()))

    return answer


middleware.sync_capable = middleware.async_capable = True  # type: ignore[attr-defined]  # Django reads it


def _route(request: Any) -> str:
    urls = needed("django.urls", "django")
    try:
        found = urls.resolve(request.path_info, getattr(request, "urlconf", None))
    except urls.Resolver404:
        return NO_ROUTE
    return route_label(request.method, f"/{found.route}")


def _told(response: Any, value: str | None) -> Any:
    if value is not None:
        others = response.get("Server-Timing")
        response["Server-Timing"] = f"{others}, {value}" if others else value
    return response
