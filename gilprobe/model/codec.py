"""Strict conversion between the model's dataclasses and JSON.

Files are not trusted: a missing or unknown key, a wrong type or nesting, or a number out of range is a
:class:`~gilprobe.errors.FormatError` that names the place.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import types
import typing
from collections import Counter
from functools import cache
from typing import Any, TypeVar

from gilprobe.errors import FormatError

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

T = TypeVar("T")

_SCALARS = frozenset({int, float, str, bool, type(None)})
_LARGEST_INT = 2**63 - 1


def encode(value: Any) -> Any:
    """Turn dataclasses, tuples and scalars into plain data for :mod:`json`.

    A field that has a default is left out while it has that value.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind in (tuple, list):
        return [encode(item) for item in value]
    if dataclasses.is_dataclass(kind):
        fields = [(name, getattr(value, name), default) for name, default in _layout(kind)]
        return {name: encode(part) for name, part, default in fields if part != default}
    return value


@functools.cache
def _layout(kind: type[Any]) -> tuple[tuple[str, Any], ...]:
    """Return a dataclass's fields and their defaults; cached, a report has 100,000 rows."""
    return tuple((field.name, field.default) for field in dataclasses.fields(kind))


def decode(kind: type[T], data: object, where: str = "document") -> T:
    """Build a dataclass from parsed JSON, and refuse everything undeclared.

    Only a field that has a default may be missing.

    Raises
    ------
    FormatError
        If `data` does not have exactly the shape of `kind`.
    """
    if not isinstance(data, dict):
        raise FormatError(f"{where} must be an object, got {_shown(data)}")
    hints, optional = _keys(typing.cast("Any", kind))
    for name in hints:
        if name not in data and name not in optional:
            raise FormatError(f"{where} lacks the key {name!r}")
    for name in data:
        if name not in hints:
            raise FormatError(f"{where} has the unknown key {_shown(name)}")
    values = {
        name: _decode_value(hint, data[name], f"{where}.{name}")
        for name, hint in hints.items()
        if name in data
    }
    try:
        return kind(**values)
    except ValueError as error:  # the model's own checks
        raise FormatError(f"{where}: {error}") from None


@cache
def _keys(kind: type) -> tuple[dict[str, Any], frozenset[str]]:
    """Return the values of a dataclass's keys, in order, and the optional ones."""
    hints = typing.get_type_hints(kind, localns={"Literal": typing.Literal})
    fields = dataclasses.fields(kind)
    return (
        {field.name: hints[field.name] for field in fields},
        frozenset(field.name for field in fields if _optional(field)),
    )


def _optional(field: dataclasses.Field[Any]) -> bool:
    """Return whether a field may be missing: older versions did not write it."""
    return field.default is not dataclasses.MISSING


def _decode_value(hint: Any, value: object, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        (hint,) = [option for option in options if option is not type(None)]
        return _decode_value(hint, value, where)
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            raise FormatError(f"{where} must be one of {typing.get_args(hint)}, got {_shown(value)}")
        return value
    if origin is tuple:
        return _decode_tuple(typing.get_args(hint), value, where)
    if dataclasses.is_dataclass(hint):
        return decode(typing.cast("type[Any]", hint), value, where)
    return _decode_scalar(hint, value, where)


def _decode_tuple(items: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise FormatError(f"{where} must be an array, got {_shown(value)}")
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(_decode_value(items[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(items):
        raise FormatError(f"{where} must have {len(items)} items, got {len(value)}")
    pairs = zip(items, value, strict=True)
    return tuple(_decode_value(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(pairs))


def _decode_scalar(hint: Any, value: object, where: str) -> Any:
    if type(value) is int and abs(value) > _LARGEST_INT:  # 10**400 can't become a float
        raise FormatError(f"{where} must fit into 64 bits, got {_shown(value)}")
    if hint is float and type(value) in (int, float):
        number = float(typing.cast("float", value))
        if math.isfinite(number):
            return number
    elif type(value) is hint and hint in (bool, int, str):
        return value
    raise FormatError(f"{where} must be a {hint.__name__}, got {_shown(value)}")


def _shown(value: object, limit: int = 60) -> str:
    """Return `value` for an error message: escaped and short."""
    try:
        text = ascii(value)
    except (RecursionError, ValueError):  # nested too deeply; an integer of thousands of digits
        text = f"an unprintable {type(value).__name__}"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def read_json(path: str | os.PathLike[str]) -> object:
    """Parse a JSON file.

    Raises
    ------
    FormatError
        If the file is not JSON, is truncated, nests too deeply, is over 1 GiB, or is not a regular file.
    OSError
        If the file can't be read.
    """
    from gilprobe import files  # imported here: every report needs this module, few are saved

    return parse_json(files.read_whole(path, "a JSON file"), f"{os.fspath(path)!r} must be a JSON file")


def load(path: str | os.PathLike[str], build: Callable[[object], T]) -> T:
    """Return what `build` makes of a JSON file.

    Raises
    ------
    FormatError
        As :func:`read_json`, and from `build`, with the file's name.
    OSError
        If the file can't be read.
    """
    return naming(path, build, read_json(path))


def naming(path: str | os.PathLike[str], build: Callable[[object], T], document: object) -> T:
    """Return what `build` makes of a document; its :class:`FormatError` gets the name `path`."""
    try:
        return build(document)
    except FormatError as error:
        raise FormatError(f"{os.fspath(path)!r}: {error}") from None


def parse_json(data: bytes, rule: str) -> object:
    """Parse JSON that is not trusted.

    Parameters
    ----------
    data : bytes
        The text, in UTF-8.
    rule : str
        How the error message begins: ``"a message must be JSON"``.

    Raises
    ------
    FormatError
        If it is not JSON, is truncated, or nests too deeply.
    """
    try:
        return json.loads(
            data.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_with_each_key_once
        )
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{rule}: {error}") from None


def _with_each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; refuse a key that comes twice, since other readers may take the other value."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = max(seen := [key for key, _ in pairs], key=Counter(seen).__getitem__)
        raise ValueError(f"the key {_shown(twice)} must come once in an object")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON allows")


def versioned(document: object, schema: int, what: str) -> dict[str, Any]:
    """Return an object without its schema; FormatError if it is no object or has another schema."""
    if not isinstance(document, dict):
        raise FormatError(f"{what} must be an object")
    body = dict(document)
    found = body.pop("schema", None)
    if found != schema or type(found) is not int:
        raise FormatError(f"{what} must have schema {schema}, got {ascii(found)[:40]}")
    return body


def pieces(value: Any, head: Mapping[str, object]) -> Iterator[str]:
    """Yield the text of a dataclass as a JSON object, after the keys of `head`, item by item.

    The whole text may be far larger than the model.
    """
    kind: Any = type(value)
    fields = [(name, getattr(value, name), default) for name, default in _layout(kind)]
    kept = {name: part for name, part, default in fields if part != default}
    separator = "{\n "
    for name, part in {**head, **kept}.items():
        yield f"{separator}{json.dumps(name)}: "
        separator = ",\n "
        if not (isinstance(part, tuple) and part):
            yield _indented(part, 1)
            continue
        for number, item in enumerate(part):
            yield (",\n  " if number else "[\n  ") + _indented(item, 2)
        yield "\n ]"
    yield "\n}\n"


def _indented(value: object, level: int) -> str:
    return json.dumps(encode(value), indent=1).replace("\n", "\n" + " " * level)


def write_json(path: str | os.PathLike[str], document: object) -> None:
    """Write a JSON file, mode 0600, completely or not at all (see :mod:`gilprobe.files`).

    Raises
    ------
    OSError
        If the file can't be written.
    """
    write_text(path, [json.dumps(document, indent=1), "\n"])


def write_text(path: str | os.PathLike[str], pieces: Iterable[str]) -> None:
    """Write pieces of text as :func:`write_json` does."""
    from gilprobe import files  # as above

    with files.replacing(path) as file:
        file.writelines(piece.encode("utf-8") for piece in pieces)
