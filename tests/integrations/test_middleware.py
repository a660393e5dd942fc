"""Middleware: the header Server-Timing and the labels, with each framework's own test client."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

import gilprobe
from gilprobe._native import tracer
from gilprobe.errors import TracerStateError
from gilprobe.integrations import asgi, timing, wsgi
from gilprobe.integrations.timing import Steps, Stretch, route_label, server_timing
from gilprobe.tracing.labelling import in_steps

TOLD = "gil-wait;dur=3.000, gil-hold;dur=2.000"


def test_a_stretch_is_known_in_its_thread_alone(times):
    stretch = Stretch()
    times.spend(2, 3)
    assert stretch.so_far() == (2_000_000, 3_000_000)
    elsewhere = []
    thread = threading.Thread(target=lambda: elsewhere.append(stretch.so_far()))
    thread.start()
    thread.join()
    assert elsewhere == [None]


def test_a_stretch_without_a_monitor_tells_nothing(times, monkeypatch):
    stretch = Stretch()

    def ended():
        raise TracerStateError("no monitor")

    monkeypatch.setattr(timing, "thread_times", ended)
    assert stretch.so_far() is None
    assert Stretch().so_far() is None
    assert server_timing(None) is None


def test_a_monitor_that_is_started_anew_makes_no_negative_times(times):
    times.spend(5, 5)
    stretch = Stretch()
    times.hold_ns = 0
    assert stretch.so_far() is None


def test_the_steps_of_a_coroutine_are_its_own(times):
    """What other tasks do while it waits is not in its times."""

    async def mine(mine_goes_on, other_goes_on):
        times.spend(2, 1)
        other_goes_on.set()
        await mine_goes_on.wait()
        times.spend(3, 4)
        return "done"

    async def other(mine_goes_on, other_goes_on):
        await other_goes_on.wait()
        times.spend(100, 100)
        mine_goes_on.set()

    async def both():
        gates = asyncio.Event(), asyncio.Event()
        steps = Steps()
        task = asyncio.create_task(other(*gates))
        assert await in_steps(steps, mine(*gates)) == "done"
        await task
        return steps.so_far()

    assert asyncio.run(both()) == (5_000_000, 5_000_000)


def test_errors_and_cancellation_reach_the_coroutine(times):
    seen = []

    async def patient():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def cancel():
        task = asyncio.create_task(run(patient()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ZeroDivisionError):
            await run(fails())

    async def run(coroutine):
        await in_steps(Steps(), coroutine)

    async def fails():
        await asyncio.sleep(0)
        raise ZeroDivisionError

    asyncio.run(cancel())
    assert seen == ["cancelled"]


def test_clients_can_not_make_up_methods():
    assert route_label("GET", "/a") == "GET /a"
    assert route_label("X" * 10_000, "/a") == "OTHER /a"


def test_wsgi(times, labels):
    def app(environ, start_response):
        times.spend(2, 3)
        start_response("200 OK", [("X-Own", "1")])
        return [b"x"]

    answered = []
    served = wsgi.WsgiMiddleware(app, label=lambda environ: environ["PATH_INFO"])
    assert served({"PATH_INFO": "/a"}, lambda *given: answered.append(given)) == [b"x"]
    assert answered == [("200 OK", [("X-Own", "1"), ("Server-Timing", TOLD)])]
    assert labels == ["enter /a", "leave /a"]
    quiet = wsgi.WsgiMiddleware(app, header=False)
    quiet({}, lambda *given: answered.append(given))
    assert answered[1] == ("200 OK", [("X-Own", "1")])


def test_asgi(times, labels):
    async def app(scope, receive, send):
        times.spend(2, 3)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})

    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(asgi.AsgiMiddleware(app)({"type": "http"}, None, send))
    asyncio.run(asgi.AsgiMiddleware(app)({"type": "lifespan"}, None, send))
    assert sent[0]["headers"] == [(b"x-own", b"1"), (b"server-timing", TOLD.encode())]
    assert sent[1]["headers"] == [(b"x-own", b"1")]


def test_flask(times, labels):
    flask = pytest.importorskip("flask")
    from gilprobe.integrations.flask import instrument

    app = flask.Flask("served")
    instrument(app)

    @app.get("/work/<int:size>")
    def work(size):
        times.spend(2, 3)
        return "x"

    @app.get("/fails")
    def fails():
        raise ZeroDivisionError

    client = app.test_client()
    assert client.get("/work/3").headers["Server-Timing"] == TOLD
    assert client.get("/none").status_code == 404
    assert client.get("/fails").status_code == 500
    names = ["GET /work/<int:size>", "(no route)", "GET /fails"]
    assert labels == [text for name in names for text in (f"enter {name}", f"leave {name}")]


def test_fastapi(times, labels):
    pytest.importorskip("httpx")
    fastapi = pytest.importorskip("fastapi")
    testclient = pytest.importorskip("fastapi.testclient")
    from gilprobe.integrations.fastapi import instrument

    app = fastapi.FastAPI()
    instrument(app)

    @app.get("/work/{size}")
    async def work(size: int) -> int:
        times.spend(2, 3)
        return size

    client = testclient.TestClient(app)
    assert client.get("/work/3").headers["server-timing"] == TOLD
    assert client.get("/none").status_code == 404
    names = ["GET /work/{size}", "(no route)"]
    assert list(dict.fromkeys(labels)) == [  # once for each step
        text for name in names for text in (f"enter {name}", f"leave {name}")
    ]


def test_django(times, labels):
    pytest.importorskip("django")
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            ROOT_URLCONF=__name__,
            ALLOWED_HOSTS=["testserver"],
            MIDDLEWARE=["gilprobe.integrations.django.middleware"],
        )
    import django
    from django.http import HttpResponse
    from django.test import AsyncClient, Client
    from django.urls import path

    django.setup()

    def work(request, size):
        times.spend(2, 3)
        return HttpResponse("x", headers={"Server-Timing": "db;dur=1"})

    async def work_later(request):
        times.spend(2, 3)
        return HttpResponse("x")

    globals()["urlpatterns"] = [path("work/<int:size>", work), path("later", work_later)]
    assert Client().get("/work/3")["Server-Timing"] == f"db;dur=1, {TOLD}"
    assert Client().get("/none").status_code == 404
    assert asyncio.run(AsyncClient().get("/later"))["Server-Timing"] == TOLD
    names = ["GET /work/<int:size>", "(no route)", "GET /later"]
    assert labels == [text for name in names for text in (f"enter {name}", f"leave {name}")]


def test_celery(labels, monkeypatch):
    celery = pytest.importorskip("celery")
    testing = pytest.importorskip("celery.contrib.testing.worker")
    from gilprobe.integrations.celery import instrument

    app = celery.Celery("served", broker="memory://", backend="cache+memory://")
    app.conf.worker_hijack_root_logger = False
    monkeypatch.setattr(logging.root, "level", logging.root.level)  # a worker sets it

    @app.task(name="add")
    def add(a, b):
        return a + b

    instrument()
    with testing.start_worker(app, perform_ping_check=False, shutdown_timeout=120):
        assert add.delay(1, 2).get(timeout=120) == 3
    assert labels == ["enter add", "leave add"]


@pytest.mark.skipif(not tracer.support()[0], reason="the GIL can't be traced here")
def test_a_monitor_counts_by_route():
    """With nothing replaced: the route's label has held the GIL, and the header says how long."""
    flask = pytest.importorskip("flask")
    from gilprobe.integrations.flask import instrument

    app = flask.Flask("counted")
    with gilprobe.monitor() as monitor:
        instrument(app, monitor)

        @app.get("/sum/<int:size>")
        def work(size):
            return str(sum(range(size)))

        header = app.test_client().get("/sum/100000").headers["Server-Timing"]
    held_s = {row.name: row.hold_s for row in monitor.read().labels}
    assert 0 < held_s["GET /sum/<int:size>"] <= monitor.read().held_s
    assert 0 < float(header.rpartition("dur=")[2]) <= monitor.read().held_s * 1e3
