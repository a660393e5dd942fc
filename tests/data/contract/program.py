"""What the saved recording is of: two threads that compute, sleep and wait for each other."""

import threading
import time

lock = threading.Lock()


def count(upto: int) -> int:
    total = 0
    for number in range(upto):
        total += number
    return total


def work() -> None:
    for _ in range(3):
        with lock:
            count(20_000)
        time.sleep(0.001)


threads = [threading.Thread(target=work, name=f"worker {number}") for number in (1, 2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
