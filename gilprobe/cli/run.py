"""``gilprobe run``: measure scenarios, each in a process of its own, and show the results."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gilprobe.cli import results_page
from gilprobe.cli.arguments import parse_threads
from gilprobe.cli.output import STDOUT, check_outputs, complain
from gilprobe.errors import InvalidValueError, UnsupportedError
from gilprobe.render.shared.words import clipped, visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from gilprobe.cli.output import Output
    from gilprobe.cli.progress import ProgressBar
    from gilprobe.results import ScenarioResult
    from gilprobe.workers.launch import TaskOutcome
    from gilprobe.workers.pythons import Python

_FAILED = 1
_NOTHING_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Job:
    """One scenario to run: the name that finds it, its identifier, and its ceiling."""

    name: str
    scenario: str
    ceiling_s: float
    foreign: bool  # from a user's file: its output is shown


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("run", help="measure scenarios (default: the headline ones)")
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help="scenarios from `gilprobe list`, or files: ./my_scenario.py"
    )
    parser.add_argument("--all", action="store_true", help="measure all scenarios")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument(
        "--threads", metavar="1,2,4", help="numbers of threads (default: 1, 2, 4, ... twice the cores)"
    )
    parser.add_argument("--repeat", type=int, metavar="N", help="samples of each arm (default: 5; quick: 3)")
    parser.add_argument("--json", metavar="FILE", help="write the results to FILE; - for standard output")
    results_page.add_options(parser)
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="PATH",
        help="measure with this interpreter, which must have gilprobe; can be repeated",
    )
    parser.add_argument(
        "--on", metavar="dask://HOST:PORT", help="measure on each machine of a Dask cluster, side by side"
    )
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Check all arguments, then measure: nothing should fail after minutes of work."""
    from gilprobe import scenarios
    from gilprobe.measuring.measure import Settings

    if arguments.all and arguments.ids:
        raise InvalidValueError(f"--all takes no ID, got {ascii(arguments.ids[0])[:60]}")
    threads = None if arguments.threads is None else scenarios.check_threads(parse_threads(arguments.threads))
    if arguments.repeat is not None:
        Settings(repeat=arguments.repeat)
    check_outputs({"--html": results_page.named(arguments), "--json": arguments.json}, arguments.ids)
    _check_cluster(arguments)
    jobs = _jobs(arguments)
    page = results_page.target_of(arguments)
    with _sides(arguments) as sides:
        run = _ScenarioRun(arguments, output, jobs, sides, threads, page)
        try:
            run.measure()
        finally:  # keep the results from before Ctrl-C or a failure
            run.deliver()
    if not run.results:
        return _NOTHING_SHOWN
    return 0 if sides.whole and not run.failed else _FAILED


def _check_cluster(arguments: argparse.Namespace) -> None:
    from gilprobe.scenarios import registry

    if arguments.on is None:
        return
    if arguments.python:
        raise InvalidValueError(f"--on takes no --python, got {ascii(arguments.python[0])[:60]}")
    for name in filter(registry.is_file, arguments.ids):
        raise InvalidValueError(f"--on measures scenarios of the catalogue, got {ascii(name)[:60]}")


def _jobs(arguments: argparse.Namespace) -> list[_Job]:
    """Return the jobs; a worker imports a user's file once, to see what is in it."""
    from gilprobe import scenarios
    from gilprobe.scenarios import own_process, registry
    from gilprobe.workers.pythons import this_python

    jobs = []
    for name in dict.fromkeys(arguments.ids):
        if registry.is_file(name):
            offered = own_process.look_into(name, this_python())
            jobs += [_Job(name, one.id, one.ceiling_s, True) for one in offered]
        else:
            jobs += [_Job(name, one.id, one.ceiling_s, False) for one in scenarios.find(name)]
    if not jobs:
        catalogue = scenarios.catalogue()
        for problem in catalogue.problems if arguments.all else ():
            complain(problem)
        wanted = [one for one in catalogue.scenarios if arguments.all or one.headline]
        jobs = [_Job(one.id, one.id, one.ceiling_s, False) for one in wanted]
    return jobs


@dataclass(frozen=True, slots=True)
class _Sides:
    """What measures: interpreters of this machine, or machines of a cluster."""

    pythons: tuple[Python, ...]
    names: tuple[str, ...]
    whole: bool  # whether these are all that were asked for
    run_side_by_side: Callable[..., tuple[TaskOutcome[ScenarioResult], ...]]
    machines: bool = False


@contextlib.contextmanager
def _sides(arguments: argparse.Namespace) -> Iterator[_Sides]:
    """Yield what measures, as long as it is needed."""
    from gilprobe.scenarios import own_process

    if arguments.on is None:
        pythons, whole = _pythons(arguments.python)
        yield _Sides(pythons, python_names(pythons), whole, own_process.run_side_by_side)
        return
    try:
        from gilprobe.integrations.dask_machines import Cluster
    except ImportError as error:
        raise UnsupportedError(f"--on needs Dask: pip install 'gilprobe[dask]' ({error})") from None
    with contextlib.closing(Cluster(arguments.on)) as cluster:
        for complaint in cluster.left_out:
            complain(complaint)
        pythons = tuple(machine.python for machine in cluster.machines)
        names = tuple(clipped(one.named, 40) for one in pythons)
        yield _Sides(pythons, names, not cluster.left_out, cluster.run_side_by_side, machines=True)


def _pythons(names: Sequence[str]) -> tuple[tuple[Python, ...], bool]:
    """Return the usable interpreters, and whether these are all that were asked for."""
    from gilprobe.workers import turns
    from gilprobe.workers.pythons import find_pythons, this_python

    if not names:
        return (this_python(),), True
    found, missing = find_pythons(names)
    met, refused = turns.meet(found)
    for complaint in (*missing, *refused):
        complain(complaint)
    if not met:
        raise InvalidValueError(
            f"--python must be an interpreter that has gilprobe, none of the {len(names)} given is usable"
        )
    return met, not (missing or refused)


class _ScenarioRun:
    """One call of the command: the jobs and their results so far."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        output: Output,
        jobs: Sequence[_Job],
        sides: _Sides,
        threads: tuple[int, ...] | None,
        page: Path | None,
    ) -> None:
        self.results: list[ScenarioResult] = []
        self.failed = False
        self._arguments = arguments
        self._output = output
        self._jobs = jobs
        self._measured = sides
        self._pythons, self._names = sides.pythons, sides.names
        self._several = len(sides.pythons) > 1
        self._sides: list[tuple[str, list[ScenarioResult]]] = [(name, []) for name in self._names]
        self._page = page
        self._threads = threads
        self._done = 0
        self._shown = False

    def measure(self) -> None:
        """Run the jobs one by one, and show each result at once."""
        from gilprobe.cli.progress import ProgressBar

        with ProgressBar(len(self._jobs)) as bar:
            for job in self._jobs:
                bar.begin(job.scenario)
                outcomes = self._outcomes(job, bar)
                bar.hide()
                self._tell(job, outcomes)
                results = [outcome.answer for outcome in outcomes]
                self.results += [result for result in results if result is not None]
                for (_, found), result in zip(self._sides, results, strict=True):
                    found += [result] if result is not None else []
                self._done += 1
                self._show(results)
                if self._output.closed and self._arguments.json is None:
                    return  # the reader has left

    def _outcomes(self, job: _Job, bar: ProgressBar) -> tuple[TaskOutcome[ScenarioResult], ...]:
        from gilprobe.scenarios import own_process

        def told(python: Python, label: str, share: float) -> None:
            name = self._names[self._pythons.index(python)]
            bar.update(visible(f"{name}: {label}" if self._several else label), share)

        asked = self._arguments
        order = own_process.ScenarioOrder(job.name, job.scenario, self._threads, asked.repeat, asked.quick)
        return self._measured.run_side_by_side(order, self._pythons, job.ceiling_s, told)

    def _tell(self, job: _Job, outcomes: Iterable[TaskOutcome[ScenarioResult]]) -> None:
        """Write to standard error what went wrong, and what a user's scenario printed."""
        for name, outcome in zip(self._names, outcomes, strict=True):
            if job.foreign:
                for line in outcome.output.splitlines():
                    complain(line, f"{job.scenario} printed")
            if outcome.complaint:
                self.failed = True
                complain(f"{name}: {outcome.complaint}" if self._several else outcome.complaint)

    def _show(self, results: Sequence[ScenarioResult | None]) -> None:
        from gilprobe.render import terminal
        from gilprobe.render.text import side_by_side

        found = [pair for pair in zip(self._names, results, strict=True) if pair[1] is not None]
        if self._arguments.json == STDOUT or not found:
            return
        look = self._output.look
        if self._several or self._measured.machines:
            sides = [(name, result) for name, result in found if result is not None]
            heading = "" if self._shown else self._legend()
            text = side_by_side.render_results(sides, look)
        else:
            (result,) = [result for _, result in found if result is not None]
            heading = "" if self._shown else terminal.render_environment(result.environment, look) + "\n"
            text = terminal.render_result(result, look)
        self._shown = True
        self._output.write(heading + text)

    def _legend(self) -> str:
        from gilprobe.render.text import side_by_side

        named = zip(self._names, self._pythons, strict=True)
        sides = [(name, one.path, one.environment) for name, one in named if one.environment is not None]
        render = side_by_side.render_machines if self._measured.machines else side_by_side.render_pythons
        return render(sides, self._output.look) + "\n"

    def deliver(self) -> None:
        """Write the results as JSON if asked to, and as a page."""
        self._save()
        if self._page is None or not self.results:
            return
        if self._arguments.html is not None:
            results_page.write(self._page, self._sides)
        elif not results_page.write_default(self._page, self._sides):
            return
        if self._arguments.json != STDOUT:
            self._output.write(f"The report: {visible(str(self._page))}\n")

    def _save(self) -> None:
        """Write the results as JSON if asked to; to standard output only those of a complete run."""
        from gilprobe.results import ResultSet

        target, ended = self._arguments.json, self._done == len(self._jobs)
        if target is None or not self.results:
            return
        results = ResultSet(self.results[0].environment, tuple(self.results))
        if target != STDOUT:
            results.save(target)
            if not ended:
                complain(f"{self._done} of {len(self._jobs)} scenarios are in {target}")
        elif ended:
            self._output.write(json.dumps(results.to_dict(), indent=1) + "\n")


def python_names(pythons: Sequence[Python]) -> tuple[str, ...]:
    """Return a short name for each: version, ``t`` if it is free-threaded, and path if two are alike."""
    names = []
    for one in pythons:
        environment = one.environment
        name = environment.python if environment is not None else one.named
        if environment is not None and environment.build == "free-threaded":
            name += "t, GIL on" if environment.gil_enabled else "t"
        names.append(name)
    return tuple(
        f"{name} {one.named}" if names.count(name) > 1 else name
        for name, one in zip(names, pythons, strict=True)
    )
