"""Check what `python -m build` made: ``check_wheel.py SDIST WHEEL``.

Prints one line per fault; exit status 1 if there is any.
"""

from __future__ import annotations

import ast
import configparser
import email
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

SOURCE_SUFFIXES = {".c", ".h", ".cpp", ".pyx", ".pxd", ".pxi", ".in"}
NEVER_IN_WHEEL = {"tests", "csrc", "benchmarks", "docs", ".ci"}
FOLLOWS = "gilprobe/programs/_follow/sitecustomize.py"
AGENT = "gilprobe/attaching/agent.so"
DORMANT = "gilprobe-dormant.pth"  # beside the package
PAGE = "gilprobe/render"
PARTS_OF_PAGE = (
    "templates/page.html.j2",
    "html/assets/processes.js",
    "html/assets/results.js",
    "html/assets/page.css",
)
NEEDED_IN_SDIST = {"CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml", "csrc", "gilprobe", "tests"}


def assigned_version(source: str) -> str:
    """Return what a module assigns to ``__version__``."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and any(
            ast.unparse(target) == "__version__" for target in node.targets
        ):
            return str(ast.literal_eval(node.value))
    return "(none)"


def wheel_faults(path: Path, version: str) -> list[str]:
    """Return what is wrong with the wheel at `path`, which should be of `version`."""
    faults = []
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        files = [PurePosixPath(name) for name in names]
        info = f"gilprobe-{version}.dist-info"
        for file in files:
            if file.suffix in SOURCE_SUFFIXES:
                faults.append(f"holds a source file: {file} (pyproject.toml: wheel.exclude)")
            if file.parts[0] not in {"gilprobe", DORMANT, info} or NEVER_IN_WHEEL & set(file.parts):
                faults.append(f"holds what is not the package: {file}")
        if "gilprobe/py.typed" not in names:
            faults.append("lacks gilprobe/py.typed: type checkers will ignore its annotations")
        faults += [
            f"lacks {PAGE}/{name}, without which there are no HTML pages"
            for name in PARTS_OF_PAGE
            if f"{PAGE}/{name}" not in names
        ]
        if "linux" in path.name and "x86_64" in path.name and AGENT not in names:
            faults.append(f"lacks {AGENT}, without which there is no attaching")
        if FOLLOWS not in names:
            faults.append(f"lacks {FOLLOWS}, without which record --follow follows forks only")
        compiled = {
            file.name.partition(".")[0]
            for file in files
            if file.suffix == ".so" and file.parent.name == "_native"
        }
        if "tracer" not in compiled:
            faults.append("lacks the compiled module gilprobe._native.tracer")
        faults += [
            f"lacks gilprobe/_native/{module}.pyi, the stub of a compiled module"
            for module in sorted(compiled)
            if f"gilprobe/_native/{module}.pyi" not in names
        ]
        if not any(file.name == "LICENSE" and file.parts[0] == info for file in files):
            faults.append("lacks LICENSE")
        entry_points = configparser.ConfigParser()
        if f"{info}/entry_points.txt" in names:
            entry_points.read_string(wheel.read(f"{info}/entry_points.txt").decode())
        command = entry_points.get("console_scripts", "gilprobe", fallback="(none)")
        if command != "gilprobe.cli:main":
            faults.append(f"its command `gilprobe` must be gilprobe.cli:main, is {command}")
        metadata = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
        if metadata["Version"] != version:
            faults.append(f"its metadata says version {metadata['Version']}, pyproject.toml {version}")
        if metadata["License-Expression"] != "MIT":
            faults.append(f"its licence must be MIT, is {metadata['License-Expression']}")
        imported = assigned_version(wheel.read("gilprobe/__init__.py").decode())
        if imported != version:
            faults.append(f"gilprobe.__version__ is {imported}, pyproject.toml says {version}")
    return faults


def sdist_faults(path: Path) -> list[str]:
    """Return what is wrong with the source distribution at `path`."""
    with tarfile.open(path) as sdist:
        files = [PurePosixPath(*PurePosixPath(name).parts[1:]) for name in sdist.getnames()]
    top = {file.parts[0] for file in files if file.parts}
    faults = [f"lacks {name}" for name in sorted(NEEDED_IN_SDIST - top)]
    faults += [f"holds a build's product: {file}" for file in files if file.suffix in {".so", ".pyc", ".o"}]
    return faults


def main(sdist: str, wheel: str) -> int:
    """Check both files and print the faults."""
    version = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    faults = [f"{Path(sdist).name} {fault}" for fault in sdist_faults(Path(sdist))]
    faults += [f"{Path(wheel).name} {fault}" for fault in wheel_faults(Path(wheel), version)]
    print("\n".join(faults) if faults else f"{Path(sdist).name} and {Path(wheel).name} hold what they should")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
