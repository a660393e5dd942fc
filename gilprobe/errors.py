"""The errors that gilprobe raises.

Each is a :class:`GilProbeError` and the nearest built-in exception, so that code which knows only the
built-in catches it too. The message states the rule and the value that broke it.
"""

from __future__ import annotations


class GilProbeError(Exception):
    """Root of every error that gilprobe raises on purpose."""


class InvalidValueError(GilProbeError, ValueError):
    """An argument of the right type is outside its range."""


class InvalidTypeError(GilProbeError, TypeError):
    """An argument has the wrong type."""


class FormatError(GilProbeError, ValueError):
    """A file is not what gilprobe writes, or is of a version that this gilprobe does not know."""


class UnknownScenarioError(GilProbeError, LookupError):
    """No scenario has this identifier."""


class ScenarioError(GilProbeError, ValueError):
    """A file or a package does not hold a scenario that can be run; the message says why."""


class TimeLimitError(GilProbeError, TimeoutError):
    """Something took longer than it may, and was cut."""


class TracerStateError(GilProbeError, RuntimeError):
    """A trace was used out of order: stopped before it was started, or started twice."""


class DeadObjectError(GilProbeError, ReferenceError):
    """An object is asked for that has been freed."""


class ReferenceCountError(GilProbeError, AssertionError):
    """The references to an object changed by another number than was expected; the message says who refers."""


class UnsupportedError(GilProbeError, RuntimeError):
    """What was asked can't be done by this interpreter, build or platform; the message says why."""


class WorkerError(GilProbeError, RuntimeError):
    """A worker of a team raised, died or did not answer in time; the message says which and why."""


class ProgramError(GilProbeError, OSError):
    """A program that was to be run can't be read; the message is the interpreter's own."""
