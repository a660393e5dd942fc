"""What event loops run besides tasks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .base import kind, note
from .truth import NUMBERS

if TYPE_CHECKING:
    from .base import Act
    from .truth import Truth


@kind("asyncio callback", task="", itself=True, whole=True)
def callback(truth: Truth) -> Act:
    """Work in a function that the event loop was given, next to an innocent task."""

    async def ticking() -> None:
        while not truth.is_over():
            truth.beside()
            await asyncio.sleep(0.004)

    async def main() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def called() -> None:
            begin = truth.now()
            for _ in range(4):
                sum(NUMBERS)  # culprit
            truth.culprit_since(begin)
            note()
            if truth.is_over():
                done.set()
            else:
                loop.call_later(truth.pause_ns() / 1e9, called)

        tick = asyncio.create_task(ticking(), name="ticking")
        loop.call_soon(called)
        await done.wait()
        await tick

    return lambda: asyncio.run(main())
