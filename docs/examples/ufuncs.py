"""Add small arrays, in one thread and then in two, and tell how much they get done."""

import threading
import time

import numpy


def add(done):
    """Add for three seconds, and append how many additions that were."""
    numbers = numpy.ones(1000)
    until = time.perf_counter() + 3
    rounds = 0
    while time.perf_counter() < until:
        for _ in range(100):
            numpy.add(numbers, numbers)
        rounds += 100
    done.append(rounds)


for size in (1, 2):
    done = []
    threads = [threading.Thread(target=add, args=(done,), name=f"adder {n}") for n in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{size} threads: {sum(done) / 3e3:.0f} thousand additions a second")
