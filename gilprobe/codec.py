"""Strict conversion between the model's dataclasses and JSON.

What comes from a file is not trusted: a missing or unknown key, a wrong type, a number out of range or a
nesting that the model does not have is a :class:`~gilprobe.errors.FormatError` that names the place.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import types
import typing
from typing import Any, TypeVar

from gilprobe.errors import FormatError

T = TypeVar("T")

_SCALARS = frozenset({int, float, str, bool, type(None)})
_LARGEST_INT = 2**63 - 1


def encode(value: Any) -> Any:
    """Turn dataclasses, tuples and scalars into what :mod:`json` can write.

    A field whose default is None is left out while it is None.

    Parameters
    ----------
    value : object
        A dataclass instance, a tuple or list of such, or a scalar.

    Returns
    -------
    object
        Dicts, lists and scalars only.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind in (tuple, list):
        return [encode(item) for item in value]
    if dataclasses.is_dataclass(kind):
        fields = [(name, getattr(value, name), optional) for name, optional in _layout(kind)]
        return {name: encode(part) for name, part, optional in fields if part is not None or not optional}
    return value


@functools.cache
def _layout(kind: type[Any]) -> tuple[tuple[str, bool], ...]:
    """Return a dataclass's fields and whether each may be missing: asked once, a report has 100,000 rows."""
    return tuple((field.name, _optional(field)) for field in dataclasses.fields(kind))


def decode(kind: type[T], data: object, where: str = "document") -> T:
    """Build a dataclass from parsed JSON, refusing everything that it does not declare.

    Only a field whose default is None may be missing.

    Parameters
    ----------
    kind : type
        The dataclass to build.
    data : object
        What :func:`json.loads` returned.
    where : str
        Name of the place, for the error message.

    Returns
    -------
    object
        An instance of `kind`.

    Raises
    ------
    FormatError
        If `data` does not have exactly the shape of `kind`.
    """
    if not isinstance(data, dict):
        raise FormatError(f"{where} must be an object, got {_shown(data)}")
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(typing.cast("Any", kind))]
    optional = {field.name for field in dataclasses.fields(typing.cast("Any", kind)) if _optional(field)}
    for name in names:
        if name not in data and name not in optional:
            raise FormatError(f"{where} lacks the key {name!r}")
    for name in data:
        if name not in names:
            raise FormatError(f"{where} has the unknown key {_shown(name)}")
    values = {
        name: _decode_value(hints[name], data[name], f"{where}.{name}") for name in names if name in data
    }
    try:
        return kind(**values)
    except ValueError as error:  # the model's own checks
        raise FormatError(f"{where}: {error}") from None


def _optional(field: dataclasses.Field[Any]) -> bool:
    """Whether a field came later and may be missing: a document without it is as older versions wrote it."""
    return field.default is None


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
    if type(value) is int and abs(value) > _LARGEST_INT:  # 10**400 can't even be turned into a float
        raise FormatError(f"{where} must fit into 64 bits, got {_shown(value)}")
    if hint is float and type(value) in (int, float):
        number = float(typing.cast("float", value))
        if math.isfinite(number):
            return number
    elif type(value) is hint and hint in (bool, int, str):
        return value
    raise FormatError(f"{where} must be a {hint.__name__}, got {_shown(value)}")


def _shown(value: object, limit: int = 60) -> str:
    """Return `value` for an error message: escaped and short, whatever the file holds."""
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
        If the file is not JSON, is truncated, or nests too deeply.
    OSError
        If the file can't be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123  # pathlib costs more than all of this
        return parse_json(file.read(), f"{os.fspath(path)!r} must be a JSON file")


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
        return json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{rule}: {error}") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON allows")


def write_json(path: str | os.PathLike[str], document: object) -> None:
    """Write a JSON file that only its owner may read, all of it or nothing (see :mod:`gilprobe.files`).

    Raises
    ------
    OSError
        If the file can't be written.
    """
    from gilprobe import files  # not at the top: every report is made with this module, few are saved

    text = json.dumps(document, indent=1) + "\n"
    with files.replacing(path) as file:
        file.write(text.encode("utf-8"))
