"""Record another process into a file of this user's."""

from __future__ import annotations

import os
import re
import select
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from gilprobe.attaching.children import Children
from gilprobe.attaching.injecting import Injected, inject, process_of
from gilprobe.attaching.shared_folder import SharedFolder
from gilprobe.attaching.target import ProcessGoneError
from gilprobe.errors import GilProbeError
from gilprobe.programs.follow import child_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilprobe.attaching.outside import Keeper

_CHILD = re.compile(r"recording\.([0-9]{1,9})(?:-[0-9]{1,9})?")
_BEGIN_S = 15.0  # from its sign of life until it records
_POLL_S = 0.1
_END_S = 30.0  # until it has ended the recording: it needs the GIL


class AttachedRecording:
    """A recording of another process, from :meth:`begin` to :meth:`close`.

    Parameters
    ----------
    pid : int
        The process.
    path : str
        Absolute path of the file.
    options : str
        What to record, by :meth:`RecordOptions.to_text`.
    wait_s : float
        How long to wait for its begin.
    duration_s : float or None
        For how long at most.
    follow : callable, optional
        Record forked children, too; called with each. Their files are named by
        :func:`gilprobe.programs.follow.child_path`.
    packages : sequence of str
        As for :func:`gilprobe.attaching.inject`.
    """

    def __init__(
        self,
        pid: int,
        path: str,
        options: str,
        wait_s: float,
        duration_s: float | None = None,
        packages: Sequence[str] = (),
        *,
        follow: Callable[[int], object] | None = None,
    ) -> None:
        self.pid = pid
        self._path = path
        self._options = options
        self._wait_s = wait_s
        self._duration_s = duration_s
        self._packages = packages
        self._follow = follow
        self._children: Children | None = None
        self._open = ExitStack()
        self._injected: Injected | None = None
        self._process = -1  # tells when the process ends
        self._stopping = threading.Event()

    def begin(self, tell: Callable[[Keeper], object]) -> Injected:
        """Attach; return when the process records itself.

        `tell` and the errors are those of :func:`gilprobe.attaching.inject`.
        """
        with ExitStack() as stack:
            folder = stack.enter_context(SharedFolder(self.pid, self._packages))
            where, name = os.path.split(self._path)
            where = os.path.realpath(where)
            direct = folder.user == os.geteuid() and folder.sees(where)
            path = f"{where}/{name}"
            if not direct:
                path = f"{folder.inside}/recording"
                stack.callback(self._take, folder)
            order = {"path": path, "options": self._options, "duration_s": self._duration_s}
            if self._follow is not None:
                order["children"] = f"{folder.inside}/child"
                self._children = Children(folder.listen("child"), folder.user, self._follow)
                stack.callback(self._children.close)
            injected = stack.enter_context(
                inject(
                    self.pid,
                    "gilprobe.attached.recording",
                    "record",
                    order,
                    self._wait_s,
                    tell=tell,
                    folder=folder,
                )
            )
            if direct and not folder.copied and self._children is None:
                folder.close()
            try:
                injected.result(_BEGIN_S)  # its first message says that it records
            except TimeoutError:
                raise self._silence() from None
            self._process = process_of(self.pid)
            stack.callback(os.close, self._process)
            self._open = stack.pop_all()
        self._injected = injected
        return injected

    def stop(self) -> None:
        """Let :meth:`wait` end the recording; from any thread, also before its begin."""
        self._stopping.set()

    def wait(self) -> bool:
        """Wait until the recording has ended; return whether the process goes on. May be called again.

        The recordings of children end then, too. After a :meth:`stop` each has half a minute for it; then
        GilProbeError is raised.
        """
        goes_on = self._wait()
        if self._children is not None and (late := self._children.end(_END_S)):
            raise GilProbeError(f"process {late[0]} does not answer: its recording ends when it can")
        return goes_on

    def _wait(self) -> bool:
        assert self._injected is not None  # begun  # noqa: S101
        until_s: float | None = None
        while True:
            if self._children is not None:
                self._children.look()
            if self._stopping.is_set() and until_s is None:
                self._injected.channel.send({"stop": True})
                until_s = time.monotonic() + _END_S
            try:
                self._injected.result(_POLL_S)
            except ProcessGoneError:
                return False
            except TimeoutError:
                if select.select([self._process], [], [], 0)[0]:
                    return False  # a forked child has its end of the connection, too
                if until_s is not None and time.monotonic() >= until_s:
                    raise self._silence() from None
            else:
                return True

    @property
    def begun(self) -> bool:
        """Whether :meth:`begin` has returned."""
        return self._injected is not None

    def close(self) -> None:
        """Take what was written; a recording that has not ended ends when the process can."""
        self._open.close()

    def __enter__(self) -> AttachedRecording:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _take(self, folder: SharedFolder) -> None:
        """Take what the process and its children have written."""
        folder.take("recording", self._path)
        for name in folder.names():
            if found := _CHILD.fullmatch(name):
                folder.take(name, child_path(self._path, int(found[1])))

    def _silence(self) -> GilProbeError:
        return GilProbeError(f"process {self.pid} does not answer: the recording ends when it can")
