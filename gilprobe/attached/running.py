"""Run a function that a tool in another process has asked for."""

from __future__ import annotations

import _thread

from gilprobe.attached.channel import ToolChannel
from gilprobe.errors import GilProbeError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable
    from typing import Any

_here = _thread._local()


def channel() -> ToolChannel:
    """Return the connection to the tool, in a function that :func:`gilprobe.attaching.inject` runs."""
    found: ToolChannel = _here.channel
    return found


def run(connection: socket, wanted: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Call ``wanted(**arguments)`` and tell the tool when it begins and how it ended."""
    _here.channel = told = ToolChannel(connection)
    try:
        told.send({"alive": True})
        told.send({"returned": wanted(**arguments)})
    except BaseException as error:  # printed by nobody, so it may be anything
        told.send(_described(error))
    finally:
        told.close()


def _described(error: BaseException) -> dict[str, str]:
    kind = "unsupported" if isinstance(error, UnsupportedError) else "error"
    known = isinstance(error, GilProbeError | OSError)
    return {"failed": str(error) if known else repr(error), "kind": kind}
