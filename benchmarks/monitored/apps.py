"""The services that benchmarks/prometheus.py scrapes: Flask for gunicorn, FastAPI for uvicorn.

Each process exports its monitor and records itself beside it. When the file NAME.over appears in $MONITORED,
both end, and the sums of the recording are written; the service goes on with counters that stand still.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import prometheus_client

import gilprobe
from gilprobe.integrations.prometheus import Writer, register

FOLDER = Path(os.environ["MONITORED"])


def work(size: int) -> int:
    """Keep the GIL for some milliseconds of Python."""
    return sum(n % 7 for n in range(size))


def watch(name: str) -> gilprobe.Monitor:
    """Begin to export and to record, and end both when asked; return the monitor."""
    monitor, trace = gilprobe.monitor(), gilprobe.trace(sites=False)
    trace.start()
    monitor.start()
    exported = register(monitor)

    def end() -> None:
        while not (FOLDER / f"{name}.over").exists():
            time.sleep(0.05)
        exported.monitor.stop()
        report = trace.stop()
        if isinstance(exported, Writer):
            exported.stop()
        threads = report.threads
        sums = {
            "held_s": report.held_s,
            "contended_s": report.contended_s,
            "wait_sum_s": sum(thread.wait.total_s for thread in threads),
            "wait_count": sum(thread.wait.count for thread in threads),
            "hold_count": sum(thread.hold.count for thread in threads),
        }
        target = FOLDER / f"{name}-{os.getpid()}.json"
        target.with_suffix(".part").write_text(json.dumps(sums))
        target.with_suffix(".part").rename(target)

    threading.Thread(target=end, daemon=True).start()
    return monitor


def flask_app():
    """Return the service for gunicorn."""
    from flask import Flask, Response
    from prometheus_client.multiprocess import MultiProcessCollector

    from gilprobe.integrations.flask import instrument

    app = Flask(__name__)
    instrument(app, watch("flask"))

    @app.get("/work/<int:size>")
    def answer(size: int) -> str:
        return str(work(size))

    @app.get("/metrics")
    def metrics() -> Response:
        registry = prometheus_client.CollectorRegistry()
        MultiProcessCollector(registry)
        return Response(
            prometheus_client.generate_latest(registry), content_type=prometheus_client.CONTENT_TYPE_LATEST
        )

    return app


def fastapi_app():
    """Return the service for uvicorn."""
    from fastapi import FastAPI

    from gilprobe.integrations.fastapi import instrument

    app = FastAPI()
    instrument(app, watch("fastapi"))

    @app.get("/work/{size}")
    def answer(size: int) -> int:
        return work(size)

    app.mount("/metrics", prometheus_client.make_asgi_app())
    return app
