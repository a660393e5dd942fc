"""The errors that gilprobe raises.

Each is a :class:`GilProbeError` and also the nearest built-in exception. The message states the rule and the
value that broke it.
"""

from __future__ import annotations


class GilProbeError(Exception):
    """Root of every error that gilprobe raises on purpose."""


class InvalidValueError(GilProbeError, ValueError):
    """An argument of the right type is outside its range."""


class InvalidTypeError(GilProbeError, TypeError):
    """An argument has the wrong type."""


class FormatError(GilProbeError, ValueError):
    """A file was not written by gilprobe, is damaged, or has an unknown version."""


class UnknownScenarioError(GilProbeError, LookupError):
    """No scenario has this identifier."""


class ScenarioError(GilProbeError, ValueError):
    """A file or package contains no scenario that can run; the message says why."""


class TimeLimitError(GilProbeError, TimeoutError):
    """Something exceeded its time limit and was stopped."""


class TracerStateError(GilProbeError, RuntimeError):
    """A trace was used out of order: stopped before it was started, or started twice."""


class DeadObjectError(GilProbeError, ReferenceError):
    """The object was freed before it was used."""


class ReferenceCountError(GilProbeError, AssertionError):
    """The reference count changed by an unexpected number; the message names the referrers."""


class UnsupportedError(GilProbeError, RuntimeError):
    """The interpreter, build or platform can't do it; the message says why."""


class WorkerError(GilProbeError, RuntimeError):
    """A worker of a team raised, died or did not answer in time; the message says which and why."""


class ProgramError(GilProbeError, OSError):
    """The program can't be read; the message is the interpreter's own."""
