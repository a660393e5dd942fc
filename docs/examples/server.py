"""A server that does its heavy work in threads, to keep its event loop free; re.findall defeats this.

Run it:      gilprobe record -o server.gilprobe server.py
Meanwhile:   python clients.py
Look:        gilprobe report server.gilprobe --html server.html
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import signal

from aiohttp import web

TEXT = "the quick brown fox jumps over the lazy dog " * 6000
BYTES = TEXT.encode() * 12
PATTERN = re.compile(r"(\w+) (\w+)(?= dog)")

routes = web.RouteTableDef()


@routes.get("/")
async def hello(_: web.Request) -> web.Response:
    """Answer at once."""
    return web.Response(text="hello")


@routes.get("/digest")
async def digest(_: web.Request) -> web.Response:
    """Compute in a thread, by a call that releases the GIL."""
    return web.Response(text=(await asyncio.to_thread(hashlib.sha256, BYTES)).hexdigest())


@routes.get("/search")
async def search(_: web.Request) -> web.Response:
    """Compute in a thread, by a call that holds the GIL from start to end."""
    return web.Response(text=str(len(await asyncio.to_thread(re.findall, PATTERN, TEXT))))


@routes.get("/stop")
async def stop(_: web.Request) -> web.Response:
    """End the server as Ctrl-C does."""
    asyncio.get_running_loop().call_later(0.1, signal.raise_signal, signal.SIGINT)
    return web.Response(text="bye")


if __name__ == "__main__":
    app = web.Application()
    app.add_routes(routes)
    web.run_app(app, host="127.0.0.1", port=8097, print=None)
