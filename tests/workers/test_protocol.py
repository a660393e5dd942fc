"""Messages between a worker and its owner: they come back as they were sent, and nothing else is taken."""

from __future__ import annotations

import pytest

from gilprobe.errors import FormatError
from gilprobe.model import codec
from gilprobe.workers import protocol
from gilprobe.workers.protocol import Done, Failed, Progressed, Task

pytestmark = pytest.mark.plain_python


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"hello": {}, "error": {}}',
        b'{"fly": {}}',
        b'{"progress": {"label": "x", "share": NaN}}',
        b'{"progress": {"label": "x"}}',
        b'{"progress": {"label": "x", "share": 1, "more": 2}}',
        b'{"error": {"kind": 3, "message": "x"}}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_what_is_no_message_is_refused(line):
    with pytest.raises(FormatError):
        protocol.read(line)


def test_messages_come_back_as_they_were_sent(result):
    for message in (Progressed("a\n\x1b", 0.5), Failed("KeyError", "x"), Done(codec.encode(result))):
        line = protocol.write(message)
        assert line.count(b"\n") == 1
        assert line.isascii()
        assert protocol.read(line) == message
    order = Progressed("x", 1.0)
    told = protocol.write_task(Task("module:function", order, lambda document: document))
    assert protocol.read_task(told) == ("module:function", {"label": "x", "share": 1.0})


@pytest.mark.parametrize(
    "line", [b"", b"null", b'{"work": "a:b"}', b'{"work": "a:b", "order": 1, "more": 2}']
)
def test_what_is_no_task_is_refused(line):
    with pytest.raises(FormatError, match="a task must be"):
        protocol.read_task(line)
