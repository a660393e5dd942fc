"""Files that gilprobe writes: private, and whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

_SHOWN_OF_NAME = 40  # a long name and what mkstemp adds would be longer than a file's name may be


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes the name `path` once all of it is written.

    What gilprobe records holds other people's names and paths, hence mode 0600. The bytes go to a temporary
    file beside the target, which then takes the target's name: a full disk, an error within the ``with``
    block or a kill leaves an earlier file as it was. A device or a pipe is written to directly.

    Parameters
    ----------
    path : path-like
        The target.

    Yields
    ------
    file
        Open for writing bytes.

    Raises
    ------
    OSError
        If the file can't be written.
    """
    target = Path(path)
    if target.exists() and not target.is_file():  # it has no "beside"
        with target.open("wb") as file:
            yield file
        return
    handle, temporary = tempfile.mkstemp(
        prefix=f".{target.name[:_SHOWN_OF_NAME]}.", suffix=".tmp", dir=target.parent
    )
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
