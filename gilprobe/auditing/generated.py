"""Find a module's functions, and generate arguments for them."""

from __future__ import annotations

import importlib
import inspect
import random
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from gilprobe.auditing.own_process import AuditOrder, audit_apart
from gilprobe.auditing.statements import Statement
from gilprobe.errors import InvalidValueError
from gilprobe.measuring import host
from gilprobe.model.audit_result import AuditResult, AuditSet, Unaudited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilprobe.measuring.measure import Progress


SIZE = 64 * 1024
"""Bytes of the largest generated argument: far above the sizes at which functions release the GIL."""

ACTING = frozenset(
    {
        "_ctypes",
        "_posixsubprocess",
        "_signal",
        "_socket",
        "_thread",
        "antigravity",
        "asyncio",
        "atexit",
        "builtins",
        "code",
        "concurrent",
        "ctypes",
        "faulthandler",
        "fcntl",
        "ftplib",
        "http",
        "imaplib",
        "importlib",
        "mmap",
        "multiprocessing",
        "nt",
        "os",
        "pdb",
        "pip",
        "poplib",
        "posix",
        "pty",
        "resource",
        "runpy",
        "sched",
        "select",
        "shutil",
        "signal",
        "smtplib",
        "socket",
        "socketserver",
        "ssl",
        "subprocess",
        "sys",
        "syslog",
        "telnetlib",
        "tempfile",
        "termios",
        "test",
        "this",
        "threading",
        "tkinter",
        "turtle",
        "urllib",
        "venv",
        "webbrowser",
        "xmlrpc",
    }
)
"""Modules whose functions act on the system, files or the interpreter: these are not called."""

ACTIONS = ("abort", "exec", "exit", "fork", "kill", "remove", "rmtree", "run", "spawn", "system", "unlink")
"""Beginnings of such functions' names elsewhere."""

INVERSES = {
    "decompress": "compress",
    "loads": "dumps",
    "unpackb": "packb",
    "decode": "encode",
    "unhexlify": "hexlify",
    "b64decode": "b64encode",
    "a2b_base64": "b2a_base64",
    "a2b_hex": "b2a_hex",
}
"""Functions whose argument is another function's result."""


def functions(module_name: str) -> tuple[str, ...]:
    """Return the names of a module's public functions, without classes.

    Raises
    ------
    InvalidValueError
        If there is no such module, it can't be imported, or it acts on the system.
    """
    if module_name.partition(".")[0] in ACTING:
        raise InvalidValueError(f"module must only compute, got {module_name!a}, which acts on the system")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a foreign module may raise anything
        raise InvalidValueError(f"module must be importable, got {module_name!a}: {error}") from None
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    return tuple(name for name in sorted(names) if _is_function(getattr(module, name, None)))


def _is_function(value: object) -> bool:
    return callable(value) and not isinstance(value, type)


def ready(module_name: str, name: str) -> Callable[[], object]:
    """Return a call of a function with the first generated arguments that it accepts.

    Raises
    ------
    InvalidValueError
        If it accepts none of them, or its name suggests that it acts on the system.
    """
    if name.startswith(ACTIONS):
        raise InvalidValueError(f"{name} was not called: by its name it acts on the system")
    module = importlib.import_module(module_name)
    function = getattr(module, name)
    complaint = "it accepts none of the generated arguments"
    for arguments in made_up(module, name):
        if not _fit(function, arguments):
            continue
        call = partial(function, *arguments)
        try:
            call()
            call()  # after the first, with its leftovers
        except Exception as error:
            complaint = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
        else:
            return call
    raise InvalidValueError(f"it accepts none of the generated arguments ({complaint})")


def made_up(module: object, name: str) -> Iterator[tuple[Any, ...]]:
    """Yield arguments to try, the most common kinds first."""
    pick = random.Random(SIZE)
    text = " ".join(pick.randbytes(3).hex() for _ in range(SIZE // 7))
    data = text.encode()
    numbers = [pick.random() for _ in range(SIZE // 64)]
    inverse = getattr(module, INVERSES.get(name, ""), None)
    if inverse is not None:
        for argument in (data, text, numbers):
            try:
                yield (inverse(argument),)
            except Exception:  # noqa: S112  # it does not accept these
                continue
    yield (data,)
    yield (text,)
    yield (numbers,)
    yield (0.001,)
    yield (data, data)
    yield ("[0-9a-f]*7", text)
    yield (numbers, numbers)
    yield (0.001, 0.001)
    yield ()


def _fit(function: Callable[..., object], arguments: tuple[object, ...]) -> bool:
    """Return whether a function accepts so many arguments, by its signature if known."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def audit_functions(
    module_name: str,
    threads: tuple[int, ...],
    *,
    repeat: int | None,
    quick: bool,
    limit_s: float,
    progress: Progress,
) -> AuditSet:
    """Audit a module; see :func:`gilprobe.audit_module`."""
    names = functions(module_name)
    audits: list[AuditResult] = []
    unaudited: list[Unaudited] = []
    with TemporaryDirectory(prefix="gilprobe-") as folder:
        for number, name in enumerate(names):
            called = f"{module_name}.{name}"
            progress(called, number / len(names))
            order = AuditOrder(_statement(module_name, name, folder), threads, repeat, quick)
            found = audit_apart(order, limit_s)
            if found.answer is not None:
                audits.append(found.answer)
            else:
                unaudited.append(Unaudited(called, found.complaint))
    progress("done", 1.0)
    environment = audits[0].environment if audits else host.read_environment()
    return AuditSet(environment, tuple(audits), tuple(unaudited))


def _statement(module_name: str, name: str, folder: str) -> Statement:
    setup = (
        f"import os; os.chdir({folder!r})\n"
        "from gilprobe.auditing.generated import ready\n"
        f"call = ready({module_name!r}, {name!r})"
    )
    return Statement("call()", setup, f"{module_name}.{name}")
