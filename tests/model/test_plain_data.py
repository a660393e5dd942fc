"""A class of plain data behaves as the standard dataclass of the same fields."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle
import subprocess
import sys
import typing
from typing import Any

import pytest

from gilprobe.errors import InvalidValueError
from gilprobe.model.distribution import EMPTY, Distribution
from gilprobe.model.plain_data import dataclass as cheap
from gilprobe.report import Frame, Report

Decorator = typing.Callable[..., Any]


def span(decorator: Decorator) -> Any:
    class Span:
        """Two ends."""

        low: int
        high: tuple[int, ...] = ()
        name: str | None = None

        def __post_init__(self) -> None:
            if self.low < 0:
                raise InvalidValueError(f"low must be >= 0, got {self.low}")

        @property
        def double(self) -> int:
            return self.low * 2

    return decorator(frozen=True, slots=True)(Span)


def outcome(action: typing.Callable[[Any], object], of: Any) -> str:
    try:
        return repr(action(of))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def changed(value: Any) -> None:
    value.low = 3


def deleted(value: Any) -> None:
    del value.low


@pytest.mark.parametrize(
    "action",
    [
        lambda kind: kind(1),
        lambda kind: kind(1, (2,), "a"),
        lambda kind: kind(name="a", low=1),
        lambda kind: kind(1, name="a"),
        lambda kind: kind(),
        lambda kind: kind(1, nothing=2),
        lambda kind: kind(1, low=2),
        lambda kind: kind(-1),
        lambda kind: changed(kind(1)),
        lambda kind: deleted(kind(1)),
        lambda kind: kind(1) == kind(1, ()),
        lambda kind: kind(1) == kind(2),
        lambda kind: kind(1) == 1,
        lambda kind: hash(kind(1)) == hash(kind(1, ())),
        lambda kind: {kind(1): 2}[kind(1)],
        lambda kind: kind(4).double,
        lambda kind: kind.__doc__,
        lambda kind: kind.__slots__,
        lambda kind: kind.__match_args__,
        lambda kind: hasattr(kind(1), "__dict__"),
        lambda kind: inspect.signature(kind),
        lambda kind: [(field.name, field.type) for field in dataclasses.fields(kind)],
        lambda kind: [field.default is dataclasses.MISSING for field in dataclasses.fields(kind)],
        lambda kind: kind.__dataclass_params__,
        lambda kind: dataclasses.is_dataclass(kind),
        lambda kind: dataclasses.replace(kind(1), low=5),
        lambda kind: dataclasses.replace(kind(1), low=-5),
        lambda kind: dataclasses.asdict(kind(1, (2,))),
        lambda kind: typing.get_type_hints(kind),
        lambda kind: copy.copy(kind(1)),
        lambda kind: copy.deepcopy(kind(1, (2,), "a")),
    ],
)
def test_it_is_as_the_standard_one(action):
    assert outcome(action, span(cheap)) == outcome(action, span(dataclasses.dataclass))


def test_too_many_values_are_refused() -> None:
    with pytest.raises(TypeError, match="takes 4 positional arguments but 5 were given"):
        span(cheap)(1, (), "a", 4)


def test_it_must_be_frozen_with_slots() -> None:
    with pytest.raises(ValueError, match="frozen and slots must be True, got False and True"):
        typing.cast("Any", cheap)(frozen=False, slots=True)


def test_the_model_is_pickled() -> None:
    distribution = Distribution(count=2, total_ns=3, max_ns=2, buckets=((1, 1), (2, 1)))
    for value in (distribution, EMPTY, Frame("f", "a.py", 3)):
        assert pickle.loads(pickle.dumps(value)) == value


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace came with CPython 3.13")
def test_copy_replaces_fields() -> None:
    assert copy.replace(Frame("f", "a.py", 3), line=4) == Frame("f", "a.py", 4)  # type: ignore[attr-defined,unused-ignore]


def test_dataclasses_is_loaded_when_someone_asks_for_fields() -> None:
    code = """
import json, sys
from gilprobe.report import Frame
frame = Frame(function="f", filename="a.py", line=3)
before = "dataclasses" in sys.modules
import dataclasses
print(json.dumps([before, [field.name for field in dataclasses.fields(frame)]]))
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == [False, ["function", "filename", "line"]]


def test_the_fields_of_a_report_have_their_types() -> None:
    hints = typing.get_type_hints(Report)
    assert hints["elapsed_ns"] is int
    assert [field.name for field in dataclasses.fields(Report)] == list(hints)
