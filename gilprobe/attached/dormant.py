"""Wait to be attached to: one signal gets a handler in C, and nothing else is there until it comes.

``GILPROBE=dormant`` in the environment calls :func:`begin` when the interpreter starts, by the line in
``gilprobe-dormant.pth``, which is installed beside the package.
"""

from __future__ import annotations

import _thread
import errno
import os
from contextlib import suppress

from gilprobe._native import attach as native
from gilprobe.errors import InvalidTypeError, InvalidValueError, UnsupportedError

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a dormant process loads no typing
if TYPE_CHECKING:
    from gilprobe.attached.recording import EndsOnce

_DEFAULT = 55  # nine below SIGRTMAX of Linux: hardly any program uses it
_BY_HAND = os.path.join(os.path.dirname(os.path.abspath(__file__)), "by_hand.py")  # noqa: PTH100, PTH118, PTH120
_NAMES = 1000

_folder: str | None = None
_lock = _thread.allocate_lock()
_recording: EndsOnce | None = None


def arm(signal: int | None = None, *, folder: str | os.PathLike[str] | None = None) -> int:
    """Let `gilprobe attach` and `gilprobe top` wake this process, without any right to trace it.

    Until then it costs nothing: no thread waits, and nothing in the interpreter is changed. Forked children
    are armed, too. A second call changes nothing but `folder`.

    Parameters
    ----------
    signal : int, optional
        The signal that wakes it. It must have no handler. Default: nine below `signal.SIGRTMAX`, 55.
    folder : path-like, optional
        Where the recordings are written that the signal begins when it is sent by hand, as with ``kill``; it
        ends them, too. Default: the current folder then.

    Returns
    -------
    int
        The signal.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If an argument is of another type, or the signal has a handler.
    UnsupportedError
        If this is not Linux on x86-64 with glibc.
    OSError
        If the system refuses.
    """
    global _folder
    if signal is not None and (isinstance(signal, bool) or not isinstance(signal, int)):
        raise InvalidTypeError(f"signal must be an integer or None, got {signal!r}")
    if not isinstance(folder, str | bytes | os.PathLike | None):
        raise InvalidTypeError(f"folder must be a path or None, got {folder!r}")
    number = int(signal) if signal is not None else native.armed() or _DEFAULT
    try:
        native.arm(number, _release().encode(), os.fsencode(_BY_HAND))
    except NotImplementedError as error:
        raise UnsupportedError(str(error)) from None
    except (ValueError, OverflowError) as error:
        raise InvalidValueError(str(error)) from None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise InvalidValueError(f"signal must be one that may be handled, got {number}") from None
    _folder = None if folder is None else os.path.abspath(os.fsdecode(folder))  # noqa: PTH100
    return number


def _release() -> str:
    import sys

    return ".".join(map(str, sys.version_info[:3]))


def begin() -> None:
    """Arm this process if that is possible: the interpreter starts, and the program must not notice."""
    with suppress(Exception):
        arm()


def begin_or_end() -> None:
    """Begin a recording of this process, or end the one that runs: the signal came by hand."""
    global _recording
    if not _lock.acquire(blocking=False):
        return
    try:
        if _recording is not None and _recording.mine:
            _recording.end()
            _recording = None
        else:
            _recording = _begun()
    finally:
        _lock.release()


def _begun() -> EndsOnce:
    import atexit

    from gilprobe.attached.recording import EndsOnce
    from gilprobe.programs.program_recording import ProgramRecording, RecordOptions

    options = RecordOptions(stacks=True)
    recording = EndsOnce(ProgramRecording(_free_path(), options, told=False, later=False))
    atexit.register(recording.end)
    return recording


def _free_path() -> str:
    folder, pid = _folder or os.getcwd(), os.getpid()  # noqa: PTH109
    names = (f"{folder}/gilprobe-dormant-{pid}-{number}.gilprobe" for number in range(1, _NAMES))
    return next(name for name in names if not os.path.exists(name))  # noqa: PTH110
