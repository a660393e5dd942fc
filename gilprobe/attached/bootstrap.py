"""Begin what was asked for in an attached process.

The agent runs this file's text and a call of :func:`_start`, in a thread of its own, in names that belong to
no module: hence imports inside of functions. After that it calls what :func:`_start` has returned. Nothing
may reach the process's standard error.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SHORT_S = 1e-4


def _start(order: dict[str, Any]) -> Callable[[], None] | None:
    """Import what is needed; return what does the rest."""
    try:
        import _socket
        import os

        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        connection.connect(order["socket"])
        peer = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)  # pid, uid, gid
        if int.from_bytes(peer[4:8], "little") not in (order["user"], os.geteuid()):
            return None
    except BaseException:  # the tool has given up
        return None
    try:
        wanted, run = _prepare(order)
    except BaseException as error:
        _tell(connection, error)
        return None
    return lambda: run(connection, wanted, order["arguments"])


def _prepare(order: dict[str, Any]) -> Any:
    """Import what is asked for.

    Meanwhile threads take shorter turns. An import lets the GIL go some hundred times, and would wait each
    time for as long as a busy thread may keep it: together that can be seconds.
    """
    import sys

    before_s = sys.getswitchinterval()
    sys.setswitchinterval(_SHORT_S)
    try:
        _load(order["packages"], order["version"])
        from gilprobe.attached.main_thread import import_threading

        import_threading()
        from gilprobe.attached.running import run

        return getattr(__import__(order["module"], fromlist=["__name__"]), order["function"]), run
    finally:
        if abs(sys.getswitchinterval() - _SHORT_S) < _SHORT_S / 2:  # else somebody else has set it
            sys.setswitchinterval(before_s)


def _load(packages: list[str], version: str) -> None:
    """Import gilprobe, the tool's own if it fits this interpreter; ``sys.path`` stays as it is."""
    import sys

    if "gilprobe" not in sys.modules:
        _load_from(packages)
    elif "/gilprobe-" in str(sys.modules["gilprobe"].__file__) and packages and "/gilprobe-" in packages[0]:
        _mend(packages[0])
    from gilprobe import __version__

    if __version__ != version:
        raise ValueError(f"the process uses gilprobe {__version__}: attach with that version")


def _load_from(packages: list[str]) -> None:
    import _imp
    import os
    import sys
    from _frozen_importlib import module_from_spec  # importlib.util imports more
    from _frozen_importlib_external import spec_from_file_location

    for folder in packages:
        if any(os.path.exists(f"{folder}/_native/tracer{each}") for each in _imp.extension_suffixes()):  # noqa: PTH110
            spec = spec_from_file_location(
                "gilprobe", f"{folder}/__init__.py", submodule_search_locations=[folder]
            )
            assert spec is not None and spec.loader is not None  # that one  # noqa: S101, PT018
            module = module_from_spec(spec)
            sys.modules["gilprobe"] = module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules["gilprobe"]
                raise
            return
    from importlib.util import find_spec

    if find_spec("gilprobe") is None:  # nor has the process one of its own
        raise NotImplementedError(
            "no gilprobe here fits the process's CPython "
            f"{sys.version.split()[0]}{sys.abiflags}: name a folder that has one with --python-path"
        )


def _mend(copy: str) -> None:
    """Let what was not imported so far be found: gilprobe is a copy for another attachment, and will go."""
    import os
    import sys

    for name, module in list(sys.modules.items()):
        if (name == "gilprobe" or name.startswith("gilprobe.")) and hasattr(module, "__path__"):
            folder = copy + name.removeprefix("gilprobe").replace(".", "/")
            others = [each for each in module.__path__ if each != folder and os.path.isdir(each)]  # noqa: PTH112
            module.__path__ = [*others, folder]


def _tell(connection: Any, error: BaseException) -> None:
    try:
        import json

        kind = "unsupported" if isinstance(error, NotImplementedError) else "error"
        text = str(error) if type(error) in (ValueError, NotImplementedError) else repr(error)
        connection.sendall(json.dumps({"failed": text, "kind": kind}).encode() + b"\n")
        connection.close()
    except BaseException:  # noqa: S110  # the tool has ended
        pass
