"""Functions in C that a thread or a pool is given: no line of the program's own code runs in that thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing.pool
import threading
from typing import TYPE_CHECKING

from .base import kind
from .c_calls import heavy

if TYPE_CHECKING:
    from .base import Act
    from .truth import Truth

SORTED = r"\bsorted\b"


@kind("ThreadPoolExecutor", callee=SORTED, must_name=True)
def executor(_: Truth) -> Act:
    """Submit a function in C."""
    numbers, pool = heavy(), concurrent.futures.ThreadPoolExecutor(1)
    return lambda: pool.submit(sorted, numbers).result()


@kind("threading.Thread", callee=SORTED, must_name=True)
def thread(_: Truth) -> Act:
    """Start a thread for a function in C."""
    numbers = heavy()

    def act() -> None:
        one = threading.Thread(target=sorted, args=(numbers,))
        one.start()
        one.join()

    return act


@kind("multiprocessing.pool.ThreadPool", callee=SORTED, must_name=True)
def pool(_: Truth) -> Act:
    """Apply a function in C."""
    # The semaphores of other start methods have names, and would outlive `os._exit`.
    multiprocessing.set_start_method("fork", force=True)
    numbers, workers = heavy(), multiprocessing.pool.ThreadPool(1)
    return lambda: workers.apply(sorted, (numbers,))


@kind("asyncio.to_thread", callee=SORTED, must_name=True, itself=True, whole=True)
def to_thread(truth: Truth) -> Act:
    """Let an event loop run a function in C in a thread."""
    numbers = heavy()

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(concurrent.futures.ThreadPoolExecutor(1))
        while not truth.is_over():
            begin = truth.now()
            await asyncio.to_thread(sorted, numbers)
            truth.culprit_since(begin)
            truth.beside()
            await asyncio.sleep(truth.pause_ns() / 1e9)

    return lambda: asyncio.run(main())


@kind("asyncio task", callee=SORTED, task="fetching", itself=True, whole=True)
def task(truth: Truth) -> Act:
    """Block an event loop in one of its tasks, beside an innocent one."""
    numbers = heavy()

    async def ticking() -> None:
        while not truth.is_over():
            await asyncio.sleep(0.001)

    async def fetching() -> None:
        while not truth.is_over():
            begin = truth.now()
            sorted(numbers)  # culprit
            truth.culprit_since(begin)
            await asyncio.sleep(truth.pause_ns() / 1e9)
            truth.beside()
            await asyncio.sleep(0)

    async def main() -> None:
        tick = asyncio.create_task(ticking(), name="ticking")
        await asyncio.create_task(fetching(), name="fetching")
        await tick

    return lambda: asyncio.run(main())
