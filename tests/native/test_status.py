"""Each status of the core is an exception with a plain message, by one function that all bindings share."""

from __future__ import annotations

import errno
import os
import re
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any

import downstream
import pytest

CHECKOUT = Path(__file__).parents[2]
HEADER = (CHECKOUT / "csrc/base/gp_status.h").read_text(encoding="utf-8")
# in the order of the header: a status is its place here
STATUSES = re.findall(r"^\s+(GP_[A-Z]+)\b", HEADER[HEADER.index("typedef enum") :], re.MULTILINE)
FULL = os.strerror(errno.EAGAIN)

RAISED: dict[str, tuple[type[Exception], str]] = {
    "GP_EINVAL": (ValueError, "an argument for a lamp is out of its range"),
    "GP_ENOMEM": (MemoryError, "no memory for a lamp"),
    "GP_ESYSTEM": (OSError, f"[Errno {errno.EAGAIN}] {FULL}"),
    "GP_EUNSUPPORTED": (
        NotImplementedError,
        "there is no way to make a lamp on this platform: use Linux",
    ),
    "GP_ETHREAD": (
        OSError,
        f"[Errno {errno.EAGAIN}] a lamp needs a thread, which can't be made: {FULL}",
    ),
}


@pytest.fixture(scope="module")
def statuses(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GILPROBE_CHECKOUT", str(CHECKOUT))
        folder = downstream.build("statuses", tmp_path_factory.mktemp("statuses") / "built")
    spec = PathFinder.find_spec("statuses", [str(folder)])
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_header_is_read() -> None:
    assert STATUSES[:2] == ["GP_OK", "GP_EINVAL"]
    assert "=" not in HEADER.partition("GP_OK = 0")[2]  # so that each is one more than the one before


@pytest.mark.lengthy
def test_ok_raises_nothing(statuses: Any) -> None:
    assert statuses.check(STATUSES.index("GP_OK"), b"a lamp", "rule", errno.EAGAIN, "file", b"reason") == 0


@pytest.mark.parametrize("name", [name for name in STATUSES if name != "GP_OK"])
def test_every_other_status_has_its_exception_and_its_words(statuses: Any, name: str) -> None:
    kind, message = RAISED[name]
    with pytest.raises(kind) as raised:
        statuses.check(STATUSES.index(name), b"a lamp", error=errno.EAGAIN)
    assert type(raised.value) in {kind, BlockingIOError}  # the subclass of OSError that EAGAIN has
    assert str(raised.value) == message


def test_a_status_that_nobody_knows_says_where_to_add_it(statuses: Any) -> None:
    with pytest.raises(SystemError, match=rf"status {len(STATUSES)} of a lamp .*_native/status\.pxd"):
        statuses.check(len(STATUSES), b"a lamp")


def test_a_broken_rule_is_told(statuses: Any) -> None:
    with pytest.raises(ValueError, match=r"^watts must be > 0, got 0$"):
        statuses.check(STATUSES.index("GP_EINVAL"), b"a lamp", "watts must be > 0, got 0")


def test_the_systems_refusal_has_the_file(statuses: Any) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        statuses.check(STATUSES.index("GP_ESYSTEM"), b"a lamp", error=errno.ENOENT, path="there")
    assert (raised.value.errno, raised.value.filename) == (errno.ENOENT, "there")
    assert raised.value.args == (errno.ENOENT, os.strerror(errno.ENOENT))


def test_what_the_core_says_is_told(statuses: Any) -> None:
    with pytest.raises(NotImplementedError, match=r"^it is dark$"):
        statuses.check(STATUSES.index("GP_EUNSUPPORTED"), b"a lamp", reason=b"it is dark")
    with pytest.raises(PermissionError) as raised:
        statuses.check(STATUSES.index("GP_ESYSTEM"), b"a lamp", error=errno.EPERM, reason=b"it is dark")
    assert raised.value.args == (errno.EPERM, f"it is dark: {os.strerror(errno.EPERM)}")
