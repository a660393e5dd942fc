"""Run a program in this process as ``python`` would have run it.

What Modules/main.c and Python/pythonrun.c of CPython do with a script, a module or a command is done again
here: ``sys.argv``, ``sys.path[0]``, a fresh ``__main__``, and an end that the interpreter itself brings
about. A program that fails is left to the interpreter with its own exception, so that the traceback,
``sys.excepthook``, the exit status and a death by SIGINT are the interpreter's; only frames of gilprobe are
taken off the traceback.
"""

from __future__ import annotations

import builtins
import os
import sys
from _imp import is_frozen
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import BuiltinImporter, PathFinder, SourceFileLoader, SourcelessFileLoader
from importlib.util import MAGIC_NUMBER
from typing import TYPE_CHECKING, Any, Literal

from gilprobe._native import program as native
from gilprobe.errors import ProgramError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType, TracebackType

_STDIN = "-"
_OURS = ("gilprobe", "cython_runtime", "_cython_")
_OWN = frozenset({__name__, native.__name__})

_launcher: ModuleType | None = None  # the __main__ that started us: its functions are still on the stack
_interrupted = False
forgotten: dict[str, ModuleType] = {}
"""Modules that gilprobe has loaded and the program has others of the same names for."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run.

    Attributes
    ----------
    kind : {"script", "module", "code"}
        Which of ``python SCRIPT``, ``python -m MODULE`` and ``python -c CODE`` is meant.
    target : str
        The script (``-`` for standard input), the module or the code.
    arguments : tuple of str
        What follows: the program's own arguments.
    """

    kind: Literal["script", "module", "code"]
    target: str
    arguments: tuple[str, ...] = ()


def prepare(program: Program) -> Callable[[], None]:
    """Find a program; return what runs it.

    Returns
    -------
    callable
        Runs the program, once, and returns when it has come to its end. What ends it otherwise is raised,
        and must reach the interpreter: no frame above may catch it.

    Raises
    ------
    ProgramError
        If the script can't be opened, in the words in which ``python`` says so.
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
    """If a KeyboardInterrupt has ended the program, remind the interpreter: it is to die by SIGINT.

    It keeps that in a flag which every ``exec`` of a string clears (pythonrun.c, run_eval_code_obj): call
    this after anything that may have run one while the program ends, the import of dataclasses say.
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
    with suppress(OSError):  # a folder that was removed
        folder = os.getcwd()  # noqa: PTH109
    _enter(program, folder)
    _end(_outcome(lambda: _runpy(program.target, alter_argv=True)))


def _run_container(program: Program, path: str) -> None:
    """Run ``__main__.py`` of a directory or a zip file, which comes first on the path even with ``-P``."""
    sys.audit("cpython.run_module", "__main__")
    _enter(program, None)
    sys.path.insert(0, path)
    _forget_shadowed(path)
    _end(_outcome(lambda: _runpy("__main__", alter_argv=False)))


def _runpy(module: str, *, alter_argv: bool) -> None:
    import runpy

    # The function that pymain_run_module calls.
    runpy._run_module_as_main(module, alter_argv)  # type: ignore[attr-defined]


def _run_file(program: Program, descriptor: int, path: str) -> None:
    """Do as _PyRun_SimpleFile."""
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
    """Tell a .pyc file, which has its own magic number whatever its name (pythonrun.c, maybe_pyc_file)."""
    if path.endswith(".pyc"):
        return True
    with suppress(OSError):  # what has no positions, a pipe say, must be read once only
        return os.pread(descriptor, 2, 0) == MAGIC_NUMBER[:2]
    return False


def _run_compiled(descriptor: int, names: dict[str, Any]) -> None:
    import marshal

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
    except OSError:  # it is closed: an empty program
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
    """Tell whether `path` is a directory or a zip file, from which can be imported (pymain_get_importer)."""
    cache = sys.path_importer_cache
    if path not in cache:
        cache[path] = None
        for hook in sys.path_hooks:
            with suppress(ImportError):
                cache[path] = hook(path)
                break
    return cache[path] is not None


def _enter(program: Program, folder: str | None) -> dict[str, Any]:
    """Make the process look as if `program` had been started in it; return the names of its ``__main__``."""
    global _launcher
    _launcher = sys.modules["__main__"]
    main = type(sys)("__main__")
    names = main.__dict__
    # as pylifecycle.c, add_main_module, leaves it
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
        del sys.path[0]  # where gilprobe's own command was found
        if folder is not None:
            sys.path.insert(0, folder)
            _forget_shadowed(folder)
    return names


def _command_line(program: Program) -> list[str]:
    """Return what ``python`` would have been started with: programs restart themselves by it."""
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
    """Return the interpreter and its own options, without what made it run us.

    That is our command's file, ``-m gilprobe``, or ``-mgilprobe``, perhaps behind other letters: ``-Im``. Of
    a process that runs us in another way the options are not told apart.
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
    """Give a process that has the name of gilprobe's command (proc(5), comm) that of the interpreter.

    Native threads inherit it: whoever reads in a report that "gilprobe" held the GIL would look for us.
    """
    with suppress(OSError), open("/proc/self/comm", "r+b", buffering=0) as file:  # noqa: PTH123
        if file.read().rstrip(b"\n") == _process_name(sys.argv[0]):
            file.write(_process_name(sys.executable))


def _process_name(path: str) -> bytes:
    return os.fsencode(os.path.basename(path))[:15]  # noqa: PTH119


def _forget_shadowed(folder: str) -> None:
    """Take modules out of ``sys.modules`` that the program would not find there under plain ``python``.

    A ``json.py`` beside a script comes before the standard one. Modules that the interpreter itself loads
    when it starts stand before the first of gilprobe's; built-in and frozen ones are found first anyway.
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
        if spec is not None and spec.origin is not None:  # a folder alone would be looked for elsewhere first
            for name in loaded:
                if name == top or name.startswith(f"{top}."):
                    forgotten[name] = sys.modules.pop(name)
    if not known:  # what is there may change before the program looks
        sys.path_importer_cache.pop(folder, None)


def _outcome(body: Callable[[], object]) -> BaseException | None:
    """Run `body`; return what it raised, with this module's frames taken off the traceback."""
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
    """End a program as the interpreter does: `forget` its file, once its error has been shown if it has one.

    An error is raised again, for the interpreter to deal with; on its way up it gathers frames, which a hook
    for this one occasion takes off again.
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
    """The ``sys.excepthook`` for the error that ends the program: steps aside for the program's own."""

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
    """Do as _PyErr_PrintEx. A SystemExit that a hook raises goes on to the interpreter."""
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
