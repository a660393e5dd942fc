"""Flask: one line, ``gilprobe.integrations.flask.instrument(app)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.integrations.figures import needed
from gilprobe.integrations.timing import NO_ROUTE, route_label
from gilprobe.integrations.wsgi import WsgiMiddleware
from gilprobe.tracing.labelling import label

if TYPE_CHECKING:
    from typing import Any

    from gilprobe.tracing.monitoring import Monitor


def instrument(app: Any, monitor: Monitor | None = None, *, header: bool = True) -> None:
    """Label requests by their route, and add the header Server-Timing.

    Parameters
    ----------
    app : flask.Flask
    monitor : Monitor, optional
        Started if it does not run. Default: one that all integrations share.
    header : bool
        Whether responses get the header.
    """
    flask = needed("flask", "flask")
    app.wsgi_app = WsgiMiddleware(app.wsgi_app, monitor, header=header)

    def begin() -> None:
        rule = flask.request.url_rule
        flask.g.gilprobe_label = label(
            NO_ROUTE if rule is None else route_label(flask.request.method, rule.rule)
        )
        flask.g.gilprobe_label.__enter__()

    def end(_error: BaseException | None) -> None:
        if (entered := flask.g.pop("gilprobe_label", None)) is not None:
            entered.__exit__(None, None, None)

    app.before_request_funcs.setdefault(None, []).insert(0, begin)  # before the application's own
    app.teardown_request(end)
