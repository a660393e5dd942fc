"""A FastAPI service: one request in five exports a table as readable JSON, in the pool of threads.

The event loop should stay free, but the encoder for `indent` is written in Python. Needs fastapi and uvicorn.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from spent import port, spent

TABLE = [{"id": number, "name": f"customer {number}", "tags": ["a", "b", "c"]} for number in range(4_000)]
CLIENTS = """
import sys, threading, urllib.request
def get(path):
    urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}{path}").read()
def client(number):
    for request in range(40):
        get("/export" if (request + number) % 5 == 0 else "/hello")
all = [threading.Thread(target=client, args=(number,)) for number in range(6)]
for one in all: one.start()
for one in all: one.join()
"""

app = FastAPI()


@app.get("/hello")
async def hello() -> dict[str, Any]:
    """Answer at once, after a look into a cache."""
    await asyncio.sleep(0.001)
    return {"hello": "world"}


@app.get("/export")
def export() -> Response:
    """Write the whole table."""
    with spent("json.dumps(indent=2)"):
        text = json.dumps(TABLE, indent=2)
    return Response(text, media_type="application/json")


def main() -> None:
    """Serve until six clients in a process of their own have had 240 answers."""
    server = uvicorn.Server(uvicorn.Config(app, port=port(), log_level="error"))

    def ask() -> None:
        while not server.started:
            threading.Event().wait(0.05)
        subprocess.run([sys.executable, "-c", CLIENTS, str(port())], check=True)
        server.should_exit = True

    clients = threading.Thread(target=ask, name="clients")
    clients.start()
    server.run()
    clients.join()


if __name__ == "__main__":
    main()
