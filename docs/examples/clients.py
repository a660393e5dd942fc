"""Six clients request 600 pages of server.py, one in ten a search, and print the times of the quick pages."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from aiohttp import ClientConnectionError, ClientSession

SERVER = "http://127.0.0.1:8097"


async def page(session: ClientSession, name: str) -> float:
    """Return how long a page takes, seconds."""
    begun = time.perf_counter()
    async with session.get(f"{SERVER}/{name}") as answer:
        await answer.read()
    return time.perf_counter() - begun


async def server_is_there(session: ClientSession) -> None:
    """Wait until the server answers."""
    for _ in range(100):
        try:
            await page(session, "")
        except ClientConnectionError:
            await asyncio.sleep(0.1)
        else:
            return
    sys.exit("start server.py first")


async def client(session: ClientSession, number: int) -> list[float]:
    """Ask for 100 pages one after the other; return the times of those that only say hello."""
    hellos = []
    for i in range(100):
        name = "search" if (i + number) % 10 == 0 else "digest" if i % 3 == 0 else ""
        took_s = await page(session, name)
        if not name:
            hellos.append(took_s)
    return hellos


async def main() -> None:
    """Request all pages, then stop the server."""
    async with ClientSession() as session:
        await server_is_there(session)
        clients = await asyncio.gather(*(client(session, number) for number in range(6)))
        await page(session, "stop")
    times_ms = [1e3 * took_s for hellos in clients for took_s in hellos]
    late = statistics.quantiles(times_ms, n=20)[-1]
    sys.stdout.write(f"hello: median {statistics.median(times_ms):.1f} ms, 95 % within {late:.1f} ms\n")


asyncio.run(main())
