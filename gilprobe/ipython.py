"""The magics ``%gil`` and ``%%gil`` for IPython: ``%load_ext gilprobe``."""

from __future__ import annotations

import ast
import asyncio
import inspect
import threading
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display

from gilprobe.errors import GilProbeError
from gilprobe.model.traced_process import TracedProcess
from gilprobe.render.shared.words import visible
from gilprobe.render.svg import render_timeline
from gilprobe.tracing.tracer import Trace, trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from IPython.core.interactiveshell import InteractiveShell

_MOST_THREADS = 256
_USAGE = "%gil [-s] [-n] [-q] [-t THREADS] [-r ROWS] [-o NAME] statement"
_LONG = ("stacks", "no-timeline", "quiet", "threads=", "rows=", "output=")


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add ``%gil`` and ``%%gil``; IPython calls this."""
    shell.register_magics(GilMagics)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Remove them again; IPython calls this."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("gil", None)


class _MagicOptions:
    """The options between the magic's name and the statement."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.stacks = "s" in given or "stacks" in given
        self.timeline = not ("n" in given or "no-timeline" in given)
        self.quiet = "q" in given or "quiet" in given
        self.threads = _number("threads", given.get("t", given.get("threads", "1")), _MOST_THREADS)
        self.rows = _number("rows", given.get("r", given.get("rows", "24")), 1000)
        self.output = given.get("o", given.get("output", ""))
        if self.output and not self.output.isidentifier():
            raise UsageError(f"output must be a variable's name, got {self.output!r}")


def _number(name: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
        raise UsageError(f"{name} must be a whole number from 1 to {most}, got {text!r}")
    return int(text)


@magics_class
class GilMagics(Magics):
    """The magics, bound to one shell."""

    @no_var_expand
    @line_cell_magic
    def gil(self, line: str, cell: str | None = None) -> Any:
        """Trace the GIL while a statement or a cell runs, and show who held it and who waited.

        ``%gil [options] statement``, or ``%%gil [options]`` above a cell::

            -s, --stacks        record whole call stacks -n, --no-timeline   record no timeline, show no
            picture -t N, --threads N   run it in N threads at once -r N, --rows N      most threads in the
            picture (24) -o X, --output X    keep the Report as variable X -q, --quiet         show nothing

        The value of a last expression is returned, except with several threads.
        """
        given, statement = self.parse_options(
            line, "snqt:r:o:", *_LONG, posix=False, strict=False, preserve_non_opts=True
        )
        options = _MagicOptions(given)
        source = statement if cell is None else f"{statement}\n{cell}" if statement.strip() else cell
        if not source.strip():
            raise UsageError(f"nothing to run; usage: {_USAGE}")
        work = _CompiledCell(self.shell, source)
        tracing = trace(stacks=options.stacks, timeline=options.timeline)
        try:
            tracing.start()
        except (GilProbeError, OSError) as error:
            raise UsageError(f"{error}") from None
        try:
            return work.run(options.threads)
        finally:
            work.stop(tracing)
            self._tell(tracing, options)

    def _tell(self, tracing: Trace, options: _MagicOptions) -> None:
        report = tracing.report()
        if options.output:
            self.shell.user_ns[options.output] = report
        if options.quiet:
            return
        display(report)
        if options.timeline:
            try:
                show_timeline(TracedProcess("", report, tracing.timeline()), rows=options.rows)
            except (GilProbeError, OSError) as error:  # a full disk must not cost the cell its result
                display({"text/plain": f"no picture of the timeline: {visible(str(error))}"}, raw=True)


def show_timeline(process: TracedProcess, *, rows: int = 24) -> None:
    """Display the picture of a timeline, or a line that says it can't be shown."""
    picture = render_timeline(process, rows=rows)
    text = "(only a notebook can show the timeline's picture)"
    display({"image/svg+xml": picture, "text/plain": text}, raw=True)


class _CompiledCell:
    """A cell, compiled as in IPython, so that sites name its lines."""

    def __init__(self, shell: InteractiveShell, source: str) -> None:
        self._namespace = shell.user_ns
        code = shell.transform_cell(source)
        # Registers the source too, for tracebacks.
        name = shell.compile.cache(code, shell.execution_count, raw_code=source)
        tree = shell.compile.ast_parse(code, filename=name)
        # The hold at the trace's end counts for the line that ends the trace: the cell's last, not one here.
        self._stop = compile("\n" * code.rstrip().count("\n") + "stop()", name, "exec")
        self._value: CodeType | None = None
        self._run_coroutine = shell.loop_runner
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if shell.autoawait else 0
        with shell.compile.extra_flags(flags):
            if tree.body and isinstance(tree.body[-1], ast.Expr) and not code.rstrip().endswith(";"):
                last = ast.Expression(tree.body.pop().value)
                self._value = shell.compile(last, name, "eval")
            self._code = shell.compile(tree, name, "exec")

    def run(self, threads: int) -> Any:
        """Run it here, or in several threads at once; the first error is raised when all have ended."""
        if threads == 1:
            return self._once()
        _in_threads(self._once, threads)
        return None

    def stop(self, tracing: Trace) -> None:
        """End the trace as if the cell did."""
        exec(self._stop, {"stop": tracing.stop})  # noqa: S102

    def _once(self) -> Any:
        codes = [self._code] if self._value is None else [self._code, self._value]
        if any(code.co_flags & inspect.CO_COROUTINE for code in codes):
            return self._awaited(codes)
        return [eval(code, self._namespace) for code in codes][-1]  # noqa: S307 - what the user typed

    def _awaited(self, codes: list[CodeType]) -> Any:
        """Run a cell with top-level await in the shell's event loop, or in another if that runs already."""

        async def work() -> Any:
            value = None
            for code in codes:
                value = eval(code, self._namespace)  # noqa: S307 - what the user typed
                if code.co_flags & inspect.CO_COROUTINE:
                    value = await value
            return value

        if threading.current_thread() is not threading.main_thread():
            return asyncio.run(work())
        if asyncio._get_running_loop() is None:
            return self._run_coroutine(work())
        values: list[Any] = []
        _in_threads(lambda: values.append(asyncio.run(work())), 1)
        return values[0]


def _in_threads(work: Callable[[], Any], number: int) -> None:
    errors: list[BaseException] = []

    def one() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001, RUF100 - raised again in the caller
            errors.append(error)

    team = [threading.Thread(target=one, name=f"gil-{n}", daemon=True) for n in range(1, number + 1)]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    if errors:
        raise errors[0]
