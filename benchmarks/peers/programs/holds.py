"""Loads `holds.c`, the work that measures itself."""

from __future__ import annotations

import ctypes
import os


class Spent(ctypes.Structure):
    """The measurements of `holds.c`, in nanoseconds."""

    _fields_ = [(name, ctypes.c_int64) for name in ("held", "perhaps_held", "waited", "worst_wait", "cycles")]


def load(path: str) -> ctypes.PyDLL:
    """Load the library; with PyDLL a call keeps the GIL until the library itself releases it."""
    library = ctypes.PyDLL(path)
    number, spent = ctypes.c_int64, ctypes.POINTER(Spent)
    library.alternate.argtypes = (number, number, number, spent)
    library.once.argtypes = (number, number, spent)
    library.nap.argtypes = (number, spent)
    library.alternate.restype = library.once.restype = library.nap.restype = None
    return library


holds = load(os.environ["PEERS_HOLDS"])
