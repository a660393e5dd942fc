"""The services that benchmarks/web.py loads: Flask for gunicorn, FastAPI for uvicorn, in one process each.

`/trace/WAY` ends the last trace of the process and begins another; `/spent` tells its number and CPU time.
"""

from __future__ import annotations

import os
import time
from contextlib import nullcontext

import gilprobe
from gilprobe._native import tracer
from gilprobe.live.server import serve
from gilprobe.tracing import flight_recorder


class _Full(flight_recorder.FlightRecorder):
    """As it is after its first seconds: with all of its traces."""

    def start(self) -> _Full:
        super().start()
        self._renew()
        self._renew()
        return self


flight_recorder.FlightRecorder = _Full  # also for what a viewer asks for
_WAYS = {
    "off": nullcontext,
    "monitor": gilprobe.monitor,
    "flight": lambda: gilprobe.flight_recorder("30s"),
    "top": nullcontext,  # it ends with its viewer
}
_running = nullcontext()


def _answer() -> dict[str, list[int]]:
    return {"numbers": [n * n % 7 for n in range(200)]}


def _spent() -> dict[str, float]:
    return {"cpu_s": time.process_time(), "pid": os.getpid()}


def _traced(way: str, viewer: str = "") -> dict[str, str]:
    global _running
    _running.__exit__(None, None, None)
    while tracer.sessions():
        time.sleep(0.001)
    _running = _WAYS[way]()
    _running.__enter__()
    if viewer:
        serve(path=viewer, options={"stacks": True}, last_s=30.0)
    return {"way": way}


def flask_app():
    """Return the service for gunicorn."""
    from flask import Flask, request

    app = Flask(__name__)
    app.get("/")(_answer)
    app.get("/spent")(_spent)
    app.get("/trace/<way>")(lambda way: _traced(way, request.args.get("viewer", "")))
    return app


def fastapi_app():
    """Return the service for uvicorn; its functions run in threads."""
    from fastapi import FastAPI

    app = FastAPI()
    app.get("/")(_answer)
    app.get("/spent")(_spent)
    app.get("/trace/{way}")(_traced)
    return app
