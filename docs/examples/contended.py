"""Two threads want one lock, which each keeps for two milliseconds."""

import threading
import time


class Cache:
    """A dict with a lock."""

    def __init__(self):
        self._lock = threading.Lock()
        self.items = {}

    def put(self, number):
        """Keep the lock for two milliseconds."""
        with self._lock:
            until = time.perf_counter() + 0.002
            while time.perf_counter() < until:
                self.items[number] = number


CACHE = Cache()


def work():
    """Put into the cache for two seconds."""
    until = time.perf_counter() + 2
    while time.perf_counter() < until:
        CACHE.put(1)


threads = [threading.Thread(target=work, name=f"worker {n}") for n in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
