"""A Celery worker with a pool of threads: one task in six searches by a pattern, which keeps the GIL.

Needs celery.
"""

from __future__ import annotations

import hashlib
import re

from celery import Celery, group
from celery.contrib.testing.worker import start_worker
from spent import spent

TEXT = "the quick brown fox jumps over the lazy dog " * 12_000
DATA = TEXT.encode()

app = Celery("shop", broker="memory://", backend="cache+memory://")
app.conf.update(worker_prefetch_multiplier=1, broker_transport_options={"polling_interval": 0.01})


@app.task
def extract(pattern: str) -> int:
    """Search in a text."""
    with spent("re.findall"):
        return len(re.findall(pattern, TEXT))


@app.task
def checksum(number: int) -> str:
    """Hash, which releases the GIL."""
    with spent("hashlib.sha256"):
        return hashlib.sha256(DATA + bytes(number)).hexdigest()


@app.task
def notify(number: int) -> int:
    """Do nearly nothing."""
    return number + 1


def main() -> None:
    """Work on 300 tasks."""
    with start_worker(app, pool="threads", concurrency=4, perform_ping_check=False, loglevel="ERROR"):
        for _ in range(10):
            jobs = [extract.s(r"(\w+) (\w+)(?= dog)") for _ in range(5)]
            jobs += [checksum.s(number) for number in range(10)]
            jobs += [notify.s(number) for number in range(15)]
            group(jobs)().get(timeout=60, interval=0.01)


if __name__ == "__main__":
    main()
