"""Write to files, and to a standard output whose reader may leave."""

from __future__ import annotations

import os
import sys

from gilprobe.errors import InvalidValueError
from gilprobe.render.shared.page import Look

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import TextIO

STDOUT = "-"
"""Stands for standard output instead of a file's name."""


def look_of(stream: TextIO | None) -> Look:
    """Return what the reader of `stream` can show; respects NO_COLOR (no-color.org) and TERM=dumb."""
    unicode = "utf" in (getattr(stream, "encoding", None) or "").lower()
    if stream is None or not stream.isatty():
        return Look(unicode=unicode)
    import shutil

    color = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    return Look(width=max(40, shutil.get_terminal_size().columns), color=color, unicode=unicode)


def complain(text: str, about: str = "gilprobe") -> None:
    """Write one line on standard error, escaped: it may contain foreign names."""
    from gilprobe.render.shared.words import visible

    if sys.stderr is not None:
        sys.stderr.write(visible(f"{about}: {text}") + "\n")


class Output:
    """Writes to standard output until its reader leaves.

    Attributes
    ----------
    look : Look
        What the reader can show.
    closed : bool
        There is no reader (any more): output is dropped.
    """

    def __init__(self) -> None:
        self.look = look_of(sys.stdout)
        self.closed = sys.stdout is None

    def write(self, text: str) -> None:
        """Write `text` and flush; escape what the stream's encoding lacks."""
        if self.closed:
            return
        encoding = sys.stdout.encoding or "utf-8"
        try:
            sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            self._give_up(error)
        self.flush()

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            if not self.closed:
                sys.stdout.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Drop the rest, or the interpreter's own flush at exit would complain again.

        A reader that has left is not an error; anything else, such as a full disk, is raised again.
        """
        self.closed = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            raise error


def check_outputs(targets: Mapping[str, str | None], inputs: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Check that results can be written, without touching existing files or inputs.

    Parameters
    ----------
    targets : mapping of str to str or None
        Output file of each option; None: none.
    inputs : iterable of path-like
        Files that are read; missing ones are ignored.

    Raises
    ------
    InvalidValueError
        If one can't be written, two are the same file, or one (or standard output) is a file that is read and
        would be lost. Other names of a file count as the same file.
    """
    from pathlib import Path

    from gilprobe.files import identity

    read = {identity(one): os.fspath(one) for one in inputs if os.path.exists(one)}  # noqa: PTH110
    if identity(1) in read:
        raise InvalidValueError(f"standard output must not be a file that is read, got {read[identity(1)]!r}")
    written: dict[object, str] = {}
    for option, target in targets.items():
        if target in (None, STDOUT):
            continue
        assert target is not None  # noqa: S101
        check_writable(Path(target), option)
        found = identity(target)
        if found in read:
            raise InvalidValueError(
                f"{option} must not be a file that is read, got {target!r}, the same file as {read[found]!r}"
            )
        if found in written:
            raise InvalidValueError(
                f"{written[found]} and {option} must be different files, got {target!r} twice"
            )
        written[found] = option


def check_writable(path: Path, option: str) -> None:
    """Check that results can be written to `path`, without touching an existing file.

    Raises
    ------
    InvalidValueError
        If they can't; the message names `option`.
    """
    import tempfile

    from gilprobe.files import check_target, is_direct

    if path.is_dir():
        raise InvalidValueError(f"{option} must be a file, got the directory {str(path)!r}")
    try:
        check_target(path)
        if is_direct(path):
            return
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise InvalidValueError(f"{option} must be a writable file, got {str(path)!r}: {reason}") from None
