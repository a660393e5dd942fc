"""Run a program in this process as ``python`` would have run it.

This repeats what Modules/main.c and Python/pythonrun.c of CPython do with a script, a module or a command:
``sys.argv``, ``sys.path[0]``, a new ``__main__``. The interpreter itself handles the program's exception, so
the traceback, ``sys.excepthook``, the exit status and a death by SIGINT are the interpreter's; only frames of
gilprobe are removed from the traceback.
"""

from __future__ import annotations

import builtins
import os
import sys
from _imp import is_frozen
from contextlib import suppress
from importlib.machinery import BuiltinImporter, PathFinder, SourceFileLoader, SourcelessFileLoader

from gilprobe._native import program as native
from gilprobe.errors import ProgramError
from gilprobe.model.plain_data import dataclass

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType, TracebackType
    from typing import Any, Literal

_STDIN = "-"
_OURS = ("gilprobe", "cython_runtime", "_cython_")
_OWN = frozenset({__name__, native.__name__})

_launcher: ModuleType | None = None  # the __main__ that started us: its functions are still on the stack
_interrupted = False
forgotten: dict[str, ModuleType] = {}
"""Modules loaded by gilprobe that the program replaces by its own of the same name."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run.

    Attributes
    ----------
    kind : {"script", "module", "code"}
        ``python SCRIPT``, ``python -m MODULE`` or ``python -c CODE``.
    target : str
        The script (``-`` for standard input), the module or the code.
    arguments : tuple of str
        The program's own arguments.
    """

    kind: Literal["script", "module", "code"]
    target: str
    arguments: tuple[str, ...] = ()


def prepare(program: Program) -> Callable[[], None]:
    """Find a program; return the function that runs it.

    Returns
    -------
    callable
        Runs the program once and returns at its normal end. Any exception must reach the interpreter: no
        frame above may catch it.

    Raises
    ------
    ProgramError
        If the script can't be opened, with ``python``'s own message.
    """
    if program.kind == "code":
        return lambda: _run_code(program)
    if program.kind == "module":
        return lambda: _run_module(program)
    if program.target == _STDIN:
        return lambda: _run_file(program, _standard_input(), "<stdin>")
    path = _absolute(program.target)
    if _has_importer(path):
        return lambda: _run_container(program, path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        command = sys.orig_argv[0]
        raise ProgramError(
            f"{command}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}"
        ) from None
    return lambda: _run_file(program, descriptor, path)


def renew_interrupt() -> None:
    """Remind the interpreter to die by SIGINT if a KeyboardInterrupt ended the program.

    Its flag for that is cleared by every ``exec`` of a string (pythonrun.c, run_eval_code_obj): call this
    after anything that may use one at the program's end, such as importing dataclasses.
    """
    if _interrupted:
        with suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")  # noqa: S102


def _run_code(program: Program) -> None:
    sys.audit("cpython.run_command", program.target)
    source = program.target
    if sys.version_info >= (3, 14):
        import textwrap

        source = textwrap.dedent(source)
    names = _enter(program, "")

    def body() -> None:
        code = compile(source, "<string>", "exec", dont_inherit=True)
        if sys.version_info >= (3, 13):  # pymain_run_command: tracebacks show the lines of a command
            import linecache

            key = code if hasattr(linecache, "_interactive_cache") else "<string>"  # the first 3.13s
            linecache._register_code(key, source, "<string>")  # type: ignore[attr-defined]
        exec(code, names)  # noqa: S102

    _end(_outcome(body))


def _run_module(program: Program) -> None:
    sys.audit("cpython.run_module", program.target)
    folder: str | None = None
    with suppress(OSError):  # the folder was removed
        folder = os.getcwd()  # noqa: PTH109
    _enter(program, folder)
    _end(_outcome(lambda: _runpy(program.target, alter_argv=True)))


def _run_container(program: Program, path: str) -> None:
    """Run ``__main__.py`` of a directory or zip file; it comes first on the path even with ``-P``."""
    sys.audit("cpython.run_module", "__main__")
    _enter(program, None)
    sys.path.insert(0, path)
    _forget_shadowed(path)
    _end(_outcome(lambda: _runpy("__main__", alter_argv=False)))


def _runpy(module: str, *, alter_argv: bool) -> None:
    import runpy

    # as pymain_run_module
    runpy._run_module_as_main(module, alter_argv)  # type: ignore[attr-defined]


def _run_file(program: Program, descriptor: int, path: str) -> None:
    """Run a file as _PyRun_SimpleFile does."""
    from_stdin = program.target == _STDIN
    if from_stdin:
        sys.audit("cpython.run_stdin")
    else:
        sys.audit("cpython.run_file", path)
    folder = "" if from_stdin else _folder(program.target)
    names = _enter(program, folder)
    names["__file__"] = path
    if sys.version_info < (3, 15):
        names["__cached__"] = None

    def forget() -> None:
        names.pop("__file__", None)
        names.pop("__cached__", None)

    if not from_stdin and _is_compiled(descriptor, path):
        names["__loader__"] = SourcelessFileLoader("__main__", path)
        error = _outcome(lambda: _run_compiled(descriptor, names))
    else:
        if not from_stdin:
            names["__loader__"] = SourceFileLoader("__main__", path)
        error = _outcome(lambda: native.run_file(descriptor, os.fsencode(path), names))
    for stream in (sys.stderr, sys.stdout):
        with suppress(Exception):
            stream.flush()
    if sys.version_info >= (3, 14):
        forget()
        _end(error)
    else:
        _end(error, forget)


def _is_compiled(descriptor: int, path: str) -> bool:
    """Return whether this is a .pyc file, by suffix or magic number (pythonrun.c, maybe_pyc_file)."""
    if path.endswith(".pyc"):
        return True
    from importlib.util import MAGIC_NUMBER

    with suppress(OSError):  # a pipe has no positions, and can be read only once
        return os.pread(descriptor, 2, 0) == MAGIC_NUMBER[:2]
    return False


def _run_compiled(descriptor: int, names: dict[str, Any]) -> None:
    import marshal
    from importlib.util import MAGIC_NUMBER

    with os.fdopen(descriptor, "rb") as file:
        data = file.read()
    if data[:4] != MAGIC_NUMBER:
        raise RuntimeError("Bad magic number in .pyc file")
    code = marshal.loads(data[16:])  # noqa: S302  # the program itself
    if not isinstance(code, type(_run_compiled.__code__)):
        raise RuntimeError("Bad code object in .pyc file")
    exec(code, names)  # noqa: S102


def _standard_input() -> int:
    try:
        return os.dup(0)
    except OSError:  # closed: run an empty program
        return os.open(os.devnull, os.O_RDONLY)


def _absolute(script: str) -> str:
    """Return the script's path as ``__file__`` has it (fileutils.c, _Py_abspath): ``.`` and ``..`` stay."""
    if os.path.isabs(script):  # noqa: PTH117
        return script
    with suppress(OSError):
        return f"{os.getcwd()}/{script}"  # noqa: PTH109
    return script


def _folder(script: str) -> str:
    """Return what a script has as ``sys.path[0]`` (pathconfig.c, _PyPathConfig_ComputeSysPath0)."""
    with suppress(OSError):
        script = os.path.realpath(script, strict=True)
    return os.path.dirname(script)  # noqa: PTH120


def _has_importer(path: str) -> bool:
    """Return whether `path` is an importable directory or zip file (pymain_get_importer)."""
    cache = sys.path_importer_cache
    if path not in cache:
        cache[path] = None
        for hook in sys.path_hooks:
            with suppress(ImportError):
                cache[path] = hook(path)
                break
    return cache[path] is not None


def _enter(program: Program, folder: str | None) -> dict[str, Any]:
    """Set the process up as if ``python`` had started `program`; return the names of its ``__main__``."""
    global _launcher
    _launcher = sys.modules["__main__"]
    main = type(sys)("__main__")
    names = main.__dict__
    # as add_main_module (pylifecycle.c) does
    if sys.version_info < (3, 14):
        names["__annotations__"] = {}
    names["__builtins__"] = builtins
    names["__loader__"] = BuiltinImporter
    sys.modules["__main__"] = main
    _take_pythons_name()
    first = {"code": "-c", "module": "-m"}.get(program.kind, program.target)
    sys.orig_argv[:] = _command_line(program)
    sys.argv[:] = [first, *program.arguments]
    if not sys.flags.safe_path:
        del sys.path[0]  # the folder of gilprobe's own command
        if folder is not None:
            sys.path.insert(0, folder)
            _forget_shadowed(folder)
    return names


def _command_line(program: Program) -> list[str]:
    """Return the command line for ``python``, with which programs may restart themselves."""
    words = _python_words(sys.orig_argv, sys.argv)
    option = {"code": "-c", "module": "-m"}.get(program.kind, "")
    as_one_word = sys.argv[len(sys.argv) - len(program.arguments) - 1 :][:1] == [option + program.target]
    if option:
        words += [option + program.target] if as_one_word else [option, program.target]
    else:
        words += ["--"] if program.target.startswith("-") and program.target != _STDIN else []
        words.append(program.target)
    return [*words, *program.arguments]


def _python_words(orig_argv: list[str], argv: list[str]) -> list[str]:
    """Return the interpreter and its own options, without those that run gilprobe.

    These are our command's file, ``-m gilprobe``, or ``-mgilprobe``, perhaps behind other letters: ``-Im``.
    If gilprobe was run in another way, only the interpreter is returned.
    """
    words = orig_argv[: len(orig_argv) - len(argv) + 1]
    if len(words) < 2 or [*words, *argv[1:]] != orig_argv:
        return orig_argv[:1]
    last = words.pop()
    if last != argv[0]:
        option = last if last.startswith("-") else words.pop()
        letters, found, _ = option.partition("m")
        if not (option.startswith("-") and found and words):
            return orig_argv[:1]
        words += [letters] if letters != "-" else []
    return words[:-1] if words[-1] == "--" else words


def _take_pythons_name() -> None:
    """Rename a process that is named after gilprobe's command (proc(5), comm) to the interpreter's name.

    Native threads inherit the name, and a report that blames "gilprobe" would mislead.
    """
    with suppress(OSError), open("/proc/self/comm", "r+b", buffering=0) as file:  # noqa: PTH123
        if file.read().rstrip(b"\n") == _process_name(sys.argv[0]):
            file.write(_process_name(sys.executable))


def _process_name(path: str) -> bytes:
    return os.fsencode(os.path.basename(path))[:15]  # noqa: PTH119


def _forget_shadowed(folder: str) -> None:
    """Remove modules from ``sys.modules`` that the program would replace by its own under plain ``python``.

    A ``json.py`` beside a script hides the standard one. Modules that the interpreter loads when it starts
    come before the first of gilprobe's and stay; built-in and frozen ones are found first anyway.
    """
    with suppress(OSError):
        folder = folder or os.getcwd()  # noqa: PTH109
    known = folder in sys.path_importer_cache
    loaded = list(sys.modules)
    first = next((at for at, name in enumerate(loaded) if name.startswith(_OURS)), len(loaded))
    tops = dict.fromkeys(name.partition(".")[0] for name in loaded[first:])
    for top in tops.keys() - {name.partition(".")[0] for name in loaded[:first]}:
        if top.startswith((*_OURS, "__main__")) or top in sys.builtin_module_names or is_frozen(top):
            continue
        spec = PathFinder.find_spec(top, [folder])
        if (
            spec is not None and spec.origin is not None
        ):  # for a mere folder, other entries of the path come first
            for name in loaded:
                if name == top or name.startswith(f"{top}."):
                    forgotten[name] = sys.modules.pop(name)
    if not known:  # files may change before the program looks
        sys.path_importer_cache.pop(folder, None)


def _outcome(body: Callable[[], object]) -> BaseException | None:
    """Run `body`; return its exception, without this module's frames in the traceback."""
    try:
        body()
    except BaseException as error:  # whatever ends a program
        return error.with_traceback(_without_ours(error.__traceback__))
    return None


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_frame.f_globals.get("__name__") in _OWN:
        traceback = traceback.tb_next
    return traceback


def _end(error: BaseException | None, forget: Callable[[], None] | None = None) -> None:
    """End a program as the interpreter does: show its error, if any, then `forget` its file.

    The error is raised again for the interpreter. It gathers frames on its way up, which a temporary hook
    removes.
    """
    global _interrupted
    if error is not None:
        _interrupted = type(error) is KeyboardInterrupt
        if not isinstance(error, SystemExit):
            sys.excepthook = _LastWord(error, forget)
        raise error
    if forget is not None:
        forget()


class _LastWord:
    """The ``sys.excepthook`` for the error that ends the program; calls the program's own."""

    def __init__(self, error: BaseException, forget: Callable[[], None] | None) -> None:
        self._error = error
        self._traceback = error.__traceback__
        self._forget = forget
        self._hook = getattr(sys, "excepthook", None)

    def __call__(
        self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if self._hook is None:
            del sys.excepthook
        else:
            sys.excepthook = self._hook
        if error is self._error:
            error.__traceback__ = traceback = sys.last_traceback = self._traceback
        _show(self._hook, kind, error, traceback)
        if self._forget is not None:
            self._forget()


def _show(
    hook: Callable[..., object] | None,
    kind: type[BaseException],
    error: BaseException,
    traceback: TracebackType | None,
) -> None:
    """Do as _PyErr_PrintEx. A hook's SystemExit goes on to the interpreter."""
    if hook is None:
        sys.stderr.write("sys.excepthook is missing\n")
        sys.__excepthook__(kind, error, traceback)
        return
    second = _outcome(lambda: hook(kind, error, traceback))
    if second is None:
        return
    if isinstance(second, SystemExit):
        raise second
    sys.stderr.write("Error in sys.excepthook:\n")
    sys.__excepthook__(type(second), second, second.__traceback__)
    sys.stderr.write("\nOriginal exception was:\n")
    sys.__excepthook__(kind, error, traceback)
