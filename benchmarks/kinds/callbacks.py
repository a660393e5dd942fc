"""Python that C calls: from native threads, from foreign libraries, and for signals."""

from __future__ import annotations

import ctypes
import random
import signal
import time
from typing import TYPE_CHECKING, Any

from .base import kind, note
from .c_calls import heavy
from .truth import clock

if TYPE_CHECKING:
    from types import FrameType

    from .base import Act
    from .truth import Truth

ALARM_S = 0.008
NATIVE_MS = 3
"""Shorter than the switch interval: nobody asks for the GIL while it runs."""


@kind("callback of a native thread", callee=r"on_progress|monotonic_ns|clock", itself=True, alone=True)
def native(truth: Truth) -> Act:
    """Let threads that Python knows nothing of call back."""
    libc = ctypes.CDLL(None)

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)  # culprit
    def on_progress(_: object) -> None:  # culprit
        begin = truth.now()  # culprit
        end = begin + NATIVE_MS * 1_000_000  # culprit
        while clock() < end:  # culprit
            pass  # culprit
        truth.culprit_since(begin)  # culprit

    def act() -> None:
        one = ctypes.c_ulong()
        libc.pthread_create(ctypes.byref(one), None, on_progress, None)
        libc.pthread_join(one, None)

    return act


LOOPS = range(15_000)


@kind("ctypes callback", alone=True, unclocked=True, lets_go=True)
def foreign(_: Truth) -> Act:
    """Sort in C by a slow comparison in Python: the library lets go of the GIL, each callback takes it.

    A callback must hold it for longer than a victim, or the victims make the culprit wait for more than they
    do themselves.
    """
    libc = ctypes.CDLL(None)
    pointer = ctypes.POINTER(ctypes.c_int)

    @ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer)  # culprit
    def compare(left: Any, right: Any) -> int:  # culprit
        for _ in LOOPS:  # culprit
            pass  # culprit
        return int(left[0] - right[0])  # culprit

    numbers = list(range(20))
    random.Random(1).shuffle(numbers)
    array = ctypes.c_int * len(numbers)

    def act() -> None:
        libc.qsort(array(*numbers), len(numbers), ctypes.sizeof(ctypes.c_int), compare)  # culprit
        note()

    return act


@kind("ctypes callback with the GIL")
def foreign_held(_: Truth) -> Act:
    """Sort by ctypes.PyDLL: the library keeps the GIL."""
    libc = ctypes.PyDLL(None)
    pointer = ctypes.POINTER(ctypes.c_int)

    @ctypes.PYFUNCTYPE(ctypes.c_int, pointer, pointer)  # culprit
    def compare(left: Any, right: Any) -> int:  # culprit
        return int(left[0] - right[0])  # culprit

    numbers = list(range(2_500))
    random.Random(1).shuffle(numbers)
    array = ctypes.c_int * len(numbers)

    def act() -> None:
        libc.qsort(array(*numbers), len(numbers), ctypes.sizeof(ctypes.c_int), compare)  # culprit
        note()

    return act


@kind("cffi callback", alone=True, unclocked=True, lets_go=True, needs="cffi")
def foreign_cffi(_: Truth) -> Act:
    """Sort in C by a comparison in Python, by cffi."""
    import cffi

    ffi = cffi.FFI()
    ffi.cdef("void qsort(int *, size_t, size_t, int (*)(const int *, const int *));")
    libc = ffi.dlopen(None)

    @ffi.callback("int(const int *, const int *)")  # culprit
    def compare(left: Any, right: Any) -> int:  # culprit
        for _ in LOOPS:  # culprit
            pass  # culprit
        return int(left[0] - right[0])  # culprit

    numbers = list(range(20))
    random.Random(1).shuffle(numbers)

    def act() -> None:
        libc.qsort(ffi.new("int[]", numbers), len(numbers), ffi.sizeof("int"), compare)  # culprit
        note()

    return act


@kind("signal handler", callee=r"sorted|on_alarm", itself=True, whole=True, main=True)
def handler(truth: Truth) -> Act:
    """Work in the handler of a timer's signal, while the main thread sleeps."""
    numbers = heavy()

    def on_alarm(_number: int, _frame: FrameType | None) -> None:
        begin = truth.now()
        sorted(numbers)  # culprit
        truth.culprit_since(begin)
        signal.setitimer(signal.ITIMER_REAL, ALARM_S)  # not before: it would interrupt itself

    def act() -> None:
        signal.signal(signal.SIGALRM, on_alarm)
        signal.setitimer(signal.ITIMER_REAL, ALARM_S)
        try:
            while not truth.is_over():
                time.sleep(0.002)
        finally:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)

    return act
