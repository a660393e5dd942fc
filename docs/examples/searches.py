"""Three threads answer at once; a fourth searches a long text by a call that holds the GIL from start to end.

Run it:      gilprobe top searches.py
"""

from __future__ import annotations

import re
import sys
import threading
import time

TEXT = "the quick brown fox jumps over the lazy dog " * 6000
PATTERN = re.compile(r"(\w+) (\w+)(?= dog)")
UNTIL = time.monotonic() + float(sys.argv[1] if len(sys.argv) > 1 else 30)


def hello() -> None:
    """Answer a thousand times a second."""
    while time.monotonic() < UNTIL:
        time.sleep(0.001)


def search() -> None:
    """Search now and then."""
    while time.monotonic() < UNTIL:
        re.findall(PATTERN, TEXT)
        time.sleep(0.02)


threads = [threading.Thread(target=hello, name=f"hello-{number}") for number in (1, 2, 3)]
threads.append(threading.Thread(target=search, name="search"))
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
