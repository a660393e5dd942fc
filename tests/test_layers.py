"""The architecture, held true: imports point down, CPython's headers stay in their folder.

These tests read the source and need nothing built.
"""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.plain_python

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = CHECKOUT / "gilprobe"
CSRC = CHECKOUT / "csrc"

# From the bottom up: what stands on one floor may use its own and those below. A room is a folder, known by
# its path below gilprobe/ or csrc/; of gilprobe also a module at the top. Give a new room its floor here;
# most belong on the lowest one that they can. A new module needs nothing: it is in its folder's room.
FLOORS: dict[str, frozenset[str]] = {
    "native core": frozenset({"_native"}),
    "ground": frozenset({"durations", "errors", "files"}),
    "model": frozenset({"model"}),
    "measuring": frozenset({"kernels", "measuring"}),
    "workers": frozenset({"workers"}),
    "tools": frozenset({"engines", "refs", "tracing"}),
    "programs": frozenset({"programs", "programs/_follow"}),
    "attached processes": frozenset({"attached"}),
    "attaching": frozenset({"attaching"}),
    "experiments": frozenset({"auditing", "scenarios"}),
    "what scenarios share": frozenset({"scenarios/support"}),
    "scenarios": frozenset({"scenarios/contention", "scenarios/lessons", "scenarios/reference_counts"}),
    "what renderers share": frozenset({"render/shared", "render/templates"}),
    "renderers others build on": frozenset({"render"}),
    "renderers": frozenset({"render/export", "render/html/process", "render/html/results", "render/text"}),
    "whole documents": frozenset({"render/html", "render/notebook"}),
    "watching": frozenset({"live"}),
    "faces": frozenset({"__main__", "cli", "integrations", "ipython", "pytest_plugin"}),
    "package root": frozenset({"__init__"}),
}
FLOOR_OF = {room: floor for floor, (_, rooms) in enumerate(FLOORS.items()) for room in rooms}
# Modules at the top that are no rooms of their own: scripts import them by these names.
STAND_FOR = {"report": "model", "results": "model"}
C_FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"base"}),
    frozenset({"attach", "hooks", "kernels", "picture", "stream"}),
    frozenset({"books", "recording"}),
    frozenset({"locks", "trace"}),
    frozenset({"cpython"}),
)
C_FLOOR_OF = {room: floor for floor, rooms in enumerate(C_FLOORS) for room in rooms}
# What renderers know beside each other.
PLAIN_DATA = FLOORS["ground"] | FLOORS["model"]
# Of the native core, what renderers may use: it makes timelines small, and knows no tracer.
NATIVE_OF_RENDERERS = "gilprobe._native.pyramid"
# Floors whose modules are loaded only on request, so that third-party modules may be imported at their top.
LOADED_ON_REQUEST = FLOORS["faces"] | {room for room in FLOOR_OF if room.partition("/")[0] == "render"}


@dataclass(frozen=True)
class Import:
    """One import: where it stands, and the absolute name of what it asks for."""

    path: Path
    line: int
    target: str
    loads: bool = True  # runs when the module is imported: not inside a function, not for type checkers only

    def __str__(self) -> str:
        return f"{self.path.relative_to(CHECKOUT)}:{self.line}: imports {self.target}"


def module_name(path: Path) -> str:
    """Return the dotted name of the module in `path`; a package's own for an ``__init__``."""
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def resolve(path: Path, module: str, level: int) -> str:
    """Return the absolute name of `module` after `level` dots in an import of `path`."""
    if level == 0:
        return module
    package = module_name(path).split(".")
    if path.stem != "__init__":
        package.pop()
    package = package[: len(package) - (level - 1)]
    return ".".join([*package, module] if module else package)


def from_targets(module: str, names: list[str]) -> Iterator[str]:
    """Return what ``from module import names`` asks for: of other people's modules only the module counts."""
    if module.partition(".")[0] == "gilprobe":
        yield from (f"{module}.{name}" for name in names)
    else:
        yield module


def python_imports(path: Path) -> Iterator[Import]:
    def visit(node: ast.AST, loads: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name, loads)
        elif isinstance(node, ast.ImportFrom):
            module = resolve(path, node.module or "", node.level)
            for target in from_targets(module, [alias.name for alias in node.names]):
                yield Import(path, node.lineno, target, loads)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for for_checkers in node.body:
                yield from visit(for_checkers, False)
            for at_run_time in node.orelse:
                yield from visit(at_run_time, loads)
        else:
            inside = loads and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, inside)

    yield from visit(ast.parse(path.read_text(encoding="utf-8"), path.name), True)


CYTHON_FROM = re.compile(r"^\s*from\s+(?P<dots>\.*)(?P<module>[\w.]*)\s+c?import\s+(?P<names>[^#]+)")
CYTHON_IMPORT = re.compile(r"^\s*c?import\s+(?P<modules>[\w., ]+)")


def cython_imports(path: Path) -> Iterator[Import]:
    # A parenthesised list of names becomes one line; the number is that of its first line.
    source = re.sub(
        r"\(([^()]*)\)",
        lambda group: f"({re.sub(r'#.*', '', group[1]).replace(chr(10), ' ')})",
        path.read_text(encoding="utf-8"),
    )
    for number, line in enumerate(source.splitlines(), 1):
        if found := CYTHON_FROM.match(line):
            module = resolve(path, found["module"], len(found["dots"]))
            names = [name.split()[0] for name in found["names"].strip(" ()").split(",") if name.strip()]
            for target in from_targets(module, names):
                yield Import(path, number, target)
        elif found := CYTHON_IMPORT.match(line):
            for module in found["modules"].split(","):
                yield Import(path, number, module.split()[0])


def sources(*patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in PACKAGE.rglob(pattern))


def all_imports() -> list[Import]:
    return [
        *(found for path in sources("*.py", "*.pyi") for found in python_imports(path)),
        *(found for path in sources("*.pyx", "*.pxd", "*.pxi") for found in cython_imports(path)),
    ]


@cache
def folders() -> set[str]:
    """Return the folders below gilprobe/ that hold sources, by their paths."""
    found = {path.parent for path in sources("*.py", "*.pyx")}
    return {folder.relative_to(PACKAGE).as_posix() for folder in found} - {"."}


def rooms() -> set[str]:
    """Return all rooms: the folders, and the modules at the top."""
    top = {path.stem for path in PACKAGE.glob("*.py")}
    return folders() | (top - STAND_FOR.keys())


def room_of(path: Path) -> str:
    """Return the room that a source file stands in."""
    inside = path.relative_to(PACKAGE)
    return STAND_FOR.get(path.stem, path.stem) if inside.parent == Path() else inside.parent.as_posix()


def room_named(target: str) -> str | None:
    """Return the room that an import names; None for a module that is not ours.

    A name of the package root that is no folder and no module is the root itself, which stands above all.
    """
    package, *parts = target.split(".")
    if package != "gilprobe":
        return None
    known = folders()
    for depth in range(len(parts), 0, -1):
        if (folder := "/".join(parts[:depth])) in known:
            return folder
    if parts and (PACKAGE / f"{parts[0]}.py").is_file():
        return STAND_FOR.get(parts[0], parts[0])
    return "__init__"


def is_render(room: str | None) -> bool:
    return room is not None and room.partition("/")[0] == "render"


def is_version(found: Import) -> bool:
    """Tell the root's one plain constant, which goes into every saved environment, from its other names."""
    return found.target == "gilprobe.__version__"


IMPORTS = all_imports()


def listed(faults: list[str]) -> str:
    return "\n".join(["", *faults])


def test_the_reader_finds_imports() -> None:
    """Guards the tests below from passing because nothing was read."""
    assert {room_of(found.path) for found in IMPORTS} >= {
        "__init__",
        "model",
        "render/html/process",
        "tracing",
    }
    assert any(found.target == "gilprobe._native.tracer" and found.loads for found in IMPORTS)
    assert any(found.target == "gilprobe.tracing.tracer.trace" and not found.loads for found in IMPORTS)
    assert room_named("gilprobe.render.html.process.places.name") == "render/html/process"
    assert room_named("gilprobe.report.Report") == "model"
    assert room_named("gilprobe.trace") == "__init__"


def test_the_reader_understands_cython(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native = tmp_path / "gilprobe" / "_native"
    native.mkdir(parents=True)
    source = native / "sample.pyx"
    source.write_text(
        "from libc.stdint cimport uint64_t, int64_t\n"
        "from . cimport status  # a comment, with a comma\n"
        "from .clock cimport (\n    ticks,\n    rate as r,\n)\n"
        "cimport cython\n"
        "import gilprobe.report as report, os\n"
        "from ..errors import GilProbeError\n"
        "cdef int imported = 3\n"
    )
    monkeypatch.setitem(globals(), "CHECKOUT", tmp_path)
    assert [found.target for found in cython_imports(source)] == [
        "libc.stdint",
        "gilprobe._native.status",
        "gilprobe._native.clock.ticks",
        "gilprobe._native.clock.rate",
        "cython",
        "gilprobe.report",
        "os",
        "gilprobe.errors.GilProbeError",
    ]


def test_every_room_has_its_floor() -> None:
    assert rooms() <= FLOOR_OF.keys(), "place the newcomer in FLOORS"


def test_every_room_says_what_lives_in_it() -> None:
    """Its ``__init__`` does, in two sentences or more: the second is for what may not."""
    faults = []
    for room in sorted(folders() - {"programs/_follow"}):  # that one is no package: it goes first on sys.path
        told = (
            ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))) or ""
        )
        if len(re.findall(r"[.!?](\s|$)", told)) < 2:
            faults.append(f"gilprobe/{room}/__init__.py says {told!r}")
    assert not faults, listed(faults)


def test_imports_point_down() -> None:
    faults = []
    for found in IMPORTS:
        user, used = room_of(found.path), room_named(found.target)
        if used is None or is_version(found):
            continue
        if FLOOR_OF[used] > FLOOR_OF[user]:
            faults.append(f"{found}: {user!r} stands below {used!r}")
    assert not faults, listed(faults)


def test_the_native_core_imports_nothing_else_of_gilprobe() -> None:
    faults = [
        str(found)
        for found in IMPORTS
        if room_of(found.path) == "_native" and room_named(found.target) not in {None, "_native"}
    ]
    assert not faults, listed(faults)


def test_renderers_know_only_the_model() -> None:
    faults = [
        str(found)
        for found in IMPORTS
        if is_render(room_of(found.path))
        and not is_render(used := room_named(found.target))
        and used not in {None, *PLAIN_DATA}
        and not found.target.startswith(f"{NATIVE_OF_RENDERERS}.")
        and found.target != NATIVE_OF_RENDERERS
        and not is_version(found)
    ]
    assert not faults, listed(faults)


def test_rooms_do_not_load_each_other_in_circles() -> None:
    graph: dict[str, set[str]] = {}
    for found in IMPORTS:
        user, used = room_of(found.path), room_named(found.target)
        if found.loads and used is not None and used != user and not is_version(found):
            graph.setdefault(user, set()).add(used)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_workers_know_neither_what_they_do_nor_for_whom() -> None:
    allowed = {None, "workers", *PLAIN_DATA}
    faults = [
        str(found)
        for found in IMPORTS
        if room_of(found.path) == "workers"
        and room_named(found.target) not in allowed
        and found.target != "gilprobe.measuring.host"
        and not is_version(found)
    ]
    assert not faults, listed(faults)


STARTS = re.compile(
    r"\b(subprocess\.(Popen|run|call|check_\w+|getoutput)|os\.(fork\w*|posix_spawn\w*|system|popen))\b"
)


# No program is started there: what was asked for goes on in a child, so that its end can be told.
SPLITS_ITSELF = PACKAGE / "refs" / "leak_child.py"


def test_processes_are_started_in_one_room() -> None:
    faults = [
        f"{path.relative_to(CHECKOUT)}: {found[0]}: start it by gilprobe.workers, which ends it, too"
        for path in sources("*.py")
        if room_of(path) != "workers" and path != SPLITS_ITSELF
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and (found := STARTS.match(ast.unparse(node.func)))
    ]
    assert not faults, listed(faults)


def test_third_party_modules_load_when_they_are_used() -> None:
    """Only what is itself loaded on request names them at its top, and rich not even there."""
    faults = []
    for found in IMPORTS:
        top = found.target.partition(".")[0]
        if found.path.suffix != ".py" or not found.loads:
            continue
        if top in sys.stdlib_module_names or top == "gilprobe":
            continue
        if room_of(found.path) not in LOADED_ON_REQUEST or top == "rich":
            faults.append(f"{found}: move it into the function that uses it")
    assert not faults, listed(faults)


def test_no_module_is_named_like_a_public_function() -> None:
    """Loading gilprobe/trace.py would put the module where users expect the function."""
    root = PACKAGE / "__init__.py"
    defined = [
        found.target.rpartition(".")[2]
        for found in python_imports(root)
        if found.target.count(".") > 1 and room_named(found.target) != "_native"
    ]
    assert "trace" in defined
    modules = {path.stem for path in PACKAGE.glob("*.py")} | {path.name for path in PACKAGE.iterdir()}
    assert [name for name in defined if name in modules] == []


INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
CPYTHON_HEADER = re.compile(
    r"^(Python\.h|(cpython|internal)/.*|pycore_.*|(py|ceval|frameobject|structmember)\w*\.h)$"
)


def c_sources() -> list[Path]:
    return sorted(path for pattern in ("*.c", "*.h") for path in CSRC.rglob(pattern))


def includes(path: Path) -> list[str]:
    return INCLUDE.findall(path.read_text(encoding="utf-8"))


def own_header(user: Path, name: str) -> Path | None:
    """Return the header of ours that ``#include "name"`` in `user` means."""
    return next((path for path in (CSRC / name, user.parent / name) if path.is_file()), None)


def headers_of_cpython(path: Path, seen: frozenset[Path] = frozenset()) -> set[str]:
    """Return CPython's headers that `path` includes, directly or through headers of ours."""
    found = set()
    for name in includes(path):
        own = own_header(path, name)
        if own is None:
            if CPYTHON_HEADER.match(name):
                found.add(name)
        elif own not in seen:
            found |= headers_of_cpython(own, seen | {own})
    return found


def test_there_is_c_to_check() -> None:
    assert any("base/gp_status.h" in includes(path) for path in c_sources())
    assert CPYTHON_HEADER.match("Python.h")
    assert CPYTHON_HEADER.match("internal/pycore_frame.h")
    assert not CPYTHON_HEADER.match("pthread.h")


def test_every_file_of_c_stands_in_a_room() -> None:
    assert {path.parent for path in c_sources()} == {CSRC / room for room in C_FLOOR_OF}


def test_includes_point_down_and_name_their_room() -> None:
    faults = []
    for path in c_sources():
        user = path.parent.name
        for name in includes(path):
            if own_header(path, name) is None:
                continue
            used, _, _ = name.partition("/")
            if used not in C_FLOOR_OF or C_FLOOR_OF[used] > C_FLOOR_OF[user]:
                faults.append(f"{path.relative_to(CHECKOUT)}: {user!r} stands below {name!r}")
    assert not faults, listed(faults)


def test_rooms_of_c_do_not_include_each_other_in_circles() -> None:
    graph: dict[str, set[str]] = {}
    for path in c_sources():
        used = {name.partition("/")[0] for name in includes(path) if own_header(path, name) is not None}
        graph.setdefault(path.parent.name, set()).update(used - {path.parent.name})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_cpythons_headers_stay_in_their_folder() -> None:
    faults = [
        f"{path.relative_to(CHECKOUT)}: includes {', '.join(sorted(found))}"
        for path in c_sources()
        if CSRC / "cpython" not in path.parents and (found := headers_of_cpython(path))
    ]
    assert not faults, listed(faults)


def test_bindings_include_no_internals_of_cpython() -> None:
    """A binding names our headers; Cython's generated code brings Python.h itself."""
    extern = re.compile(r"cdef\s+extern\s+from\s+[<\"']+([^>\"']+)")
    faults = [
        f"{path.relative_to(CHECKOUT)}: {name}"
        for path in sources("*.pyx", "*.pxd", "*.pxi")
        for name in extern.findall(path.read_text(encoding="utf-8"))
        if own_header(path, name) is None and CPYTHON_HEADER.match(name)
    ]
    assert not faults, listed(faults)
