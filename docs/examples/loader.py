"""Read 400 small files in two threads. The argument is the buffering of `open`."""

import sys
import threading
import time
from pathlib import Path

BUFFERING = int(sys.argv[1])
FILES = list(Path(sys.prefix).rglob("*.py"))[:400]


def load(files):
    """Read each of these files."""
    for path in files:
        with path.open("rb", buffering=BUFFERING) as file:
            file.read()


begin = time.perf_counter()
threads = [threading.Thread(target=load, args=(FILES[n::2],), name=f"loader {n}") for n in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"{time.perf_counter() - begin:.2f} s")
