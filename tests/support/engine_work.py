"""What the workers of the engines' tests do: importable in any interpreter and process."""

import os
import time


def countdown(steps):
    while steps:
        steps -= 1


def sleep(operations, seconds):
    time.sleep(operations * seconds)


def fail(operations, message):
    raise ValueError(message)


def die(operations, status):
    os._exit(status)


def write_pid(operations, folder):
    """Leave a file that is named after the process, and work for long."""
    with open(os.path.join(folder, str(os.getpid())), "w"):  # noqa: PTH118, PTH123
        pass
    time.sleep(0.001 * operations)
