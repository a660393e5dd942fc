"""Find a function by name: MODULE:FUNCTION, or FILE.py::FUNCTION as pytest names its tests."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import os
import sys
import types
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilprobe.errors import GilProbeError, InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

FORM = "MODULE:FUNCTION or FILE.py::FUNCTION"
"""The forms of a function's name."""


def find_function(name: str) -> Callable[..., object]:
    """Return the function ``MODULE:FUNCTION`` or ``FILE.py::FUNCTION``; attributes may follow after dots.

    ``FILE.py::Class::method`` calls the method of a new instance each time.

    Raises
    ------
    InvalidValueError
        If there is no such file, module or function, or loading it fails.
    InvalidTypeError
        If it can't be called.
    """
    file, in_file, attribute = name.partition("::")
    if in_file:
        module = _load(Path(file))
    else:
        file, separator, attribute = name.partition(":")
        if not separator:
            raise InvalidValueError(f"FUNCTION must be {FORM}, got {told(name)}")
        module = _import(file)
    if not file or not attribute:
        raise InvalidValueError(f"FUNCTION must be {FORM}, got {told(name)}")
    with _failing_in_one_line(file):
        found = _attribute(module, file, attribute)
    if not callable(found):
        raise InvalidTypeError(f"FUNCTION must be callable, {told(name)} is of type {type(found).__name__}")
    return found


def _attribute(module: ModuleType, file: str, path: str) -> object:
    """Follow the names in ``a.b`` and ``Class::method``; the latter needs an instance."""
    outer, as_test, method = path.rpartition("::")
    found: object = module
    try:
        for part in (outer if as_test else path).replace("::", ".").split("."):
            found = getattr(found, part)
        if not as_test:
            return found
        plain = isinstance(inspect.getattr_static(found, method), types.FunctionType)
        return _on_instances(found, method) if plain and isinstance(found, type) else getattr(found, method)
    except AttributeError:
        raise InvalidValueError(f"FUNCTION must exist, {told(file)} has no {told(path)}") from None


def _on_instances(owner: type, name: str) -> Callable[..., object]:
    """Return a function that calls a method of a new instance, as unittest and pytest do.

    It also calls ``setUp`` and ``tearDown`` of unittest's classes. pytest's fixtures need pytest.
    """
    method = getattr(owner, name)
    if hasattr(owner, "debug") and hasattr(owner, "setUp"):

        def call() -> object:
            return owner(name).debug()

        return functools.update_wrapper(call, method)
    if hasattr(owner, "setup_method"):
        raise InvalidValueError(
            f"FUNCTION must need no setup, {told(owner.__name__)} has a setup_method; use pytest --leaks"
        )

    def call_method(*args: object) -> Any:
        return getattr(owner(), name)(*args)

    async def await_method(*args: object) -> object:
        return await call_method(*args)

    asynchronous = inspect.iscoroutinefunction(method)
    return functools.update_wrapper(await_method if asynchronous else call_method, method)


def _import(name: str) -> ModuleType:
    """Import a module as ``python -m`` does, from the current folder too."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise InvalidValueError(f"FUNCTION must be {FORM}, got the module {told(name)}")
    if not sys.flags.safe_path:
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    with _failing_in_one_line(name):
        return importlib.import_module(name)


def _load(path: Path) -> ModuleType:
    """Import a file as a module. Its folder, or its package's, is put on the path, as for a script."""
    if not path.is_file():
        raise InvalidValueError(f"FUNCTION must be in an existing file, got {told(str(path))}")
    folder, name = _place(Path(os.path.abspath(path)))  # noqa: PTH100 - without ".."
    sys.path.insert(0, str(folder))
    if name == path.stem:
        return _run_file(path)
    with _failing_in_one_line(str(path)):
        module = importlib.import_module(name)
    loaded = module.__file__
    if loaded is None or not path.samefile(loaded):
        raise InvalidValueError(
            f"FUNCTION must be in an importable file, {told(str(path))} has the name of {told(str(loaded))}"
        )
    return module


def _place(path: Path) -> tuple[Path, str]:
    """Return a file's import folder and module name, by pytest's rule (without rootdir/conftest).

    The folder is the first one upward that is not a package.
    """
    parts = [] if path.name == "__init__.py" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        parts.insert(0, folder.name)
        folder = folder.parent
    named = all(part.isidentifier() for part in parts) and path.suffix == ".py"
    return (folder, ".".join(parts)) if named else (path.parent, path.stem)


def _run_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InvalidValueError(f"FUNCTION must be in a Python file, got {told(str(path))}")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    with _failing_in_one_line(str(path)):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _failing_in_one_line(what: str) -> Iterator[None]:
    try:
        yield
    except (GilProbeError, KeyboardInterrupt):
        raise
    except BaseException as error:  # the user's code may raise anything
        raise InvalidValueError(
            f"FUNCTION must be in an importable module, {told(what)} raised {error_line(error)}"
        ) from None


def error_line(error: BaseException) -> str:
    """Return an error's type and message on one line, even if its own code fails."""
    try:
        reason = ascii(str(error))[1:-1][:200]
    except Exception:  # its __str__ may raise anything
        reason = "(its message can't be shown)"
    return f"{type(error).__name__}: {reason}"


def told(text: str) -> str:
    """Return a user's text, shortened for a message."""
    shown = ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
