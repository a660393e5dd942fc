"""The services that benchmarks/web.py loads: Flask for gunicorn, FastAPI for uvicorn, in one process each.

`/monitor/on` and `/monitor/off` start and stop a monitor, and answer with the process's CPU time so far.
"""

from __future__ import annotations

import time

import gilprobe

_monitor = gilprobe.monitor()


def _answer() -> dict[str, list[int]]:
    return {"numbers": [n * n % 7 for n in range(200)]}


def _switched(state: str) -> dict[str, float]:
    if _monitor.running != (state == "on"):
        (_monitor.start if state == "on" else _monitor.stop)()
    return {"cpu_s": time.process_time()}


def flask_app():
    """Return the service for gunicorn."""
    from flask import Flask

    app = Flask(__name__)
    app.get("/")(_answer)
    app.get("/monitor/<state>", endpoint="switched")(_switched)
    return app


def fastapi_app():
    """Return the service for uvicorn; its functions run in threads."""
    from fastapi import FastAPI

    app = FastAPI()
    app.get("/")(_answer)
    app.get("/monitor/{state}")(_switched)
    return app
