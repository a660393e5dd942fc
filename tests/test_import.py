"""``import gilprobe`` happens in other people's processes: it brings little and changes nothing."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import sysconfig
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

import gilprobe

if TYPE_CHECKING:
    from pathlib import Path

TRACED = gilprobe.capabilities().tracer == "exact"
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def in_new_process(code: str) -> Any:
    """Run `code` in a new interpreter, with warnings as errors, and return what it printed as JSON."""
    command = [sys.executable, "-W", "error", "-P", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# Compiled modules share Cython's types through modules that no file stands behind; _sysconfigdata_* is the
# interpreter's own build configuration.
FILELESS_OR_GENERATED = ("cython_runtime", "_cython_", "_sysconfigdata_")


def is_ours_or_standard(module: str) -> bool:
    top = module.partition(".")[0]
    return top == "gilprobe" or top in sys.stdlib_module_names or top.startswith(FILELESS_OR_GENERATED)


def test_import_loads_no_third_party_module() -> None:
    loaded = in_new_process(
        """
        import json, sys
        before = set(sys.modules)
        import gilprobe
        print(json.dumps(sorted(set(sys.modules) - before)))
        """
    )
    assert [module for module in loaded if module.startswith("gilprobe")] == ["gilprobe"]
    assert [module for module in loaded if not is_ours_or_standard(module)] == []


def loaded_by(code: str, *, after: str = "import threading") -> set[str]:
    """Return the modules that `code` loads after `after` has run."""
    lines = [
        "import sys",
        after,
        "before = set(sys.modules)",
        code,
        "loaded = sorted(set(sys.modules) - before)",
        "import json",
        "print(json.dumps(loaded))",
    ]
    return set(in_new_process("\n".join(lines)))


# Each costs the measured program milliseconds; together more than everything that a trace needs.
HEAVY = frozenset(
    [
        "ast",
        "dataclasses",
        "enum",
        "importlib.util",
        "inspect",
        "jinja2",
        "json",
        "pathlib",
        "platform",
        "re",
        "rich",
        "subprocess",
        "tempfile",
        "typing",
    ]
)


@pytest.mark.spawns_nothing
@pytest.mark.skipif(not TRACED, reason="the GIL can't be traced here")
def test_a_trace_loads_nothing_that_few_ask_for() -> None:
    code = "import gilprobe; trace = gilprobe.trace().start(); trace.stop(); str(trace.report())"
    assert not loaded_by(code) & HEAVY


@pytest.mark.skipif(not TRACED, reason="the GIL can't be traced here")
def test_record_loads_nothing_that_few_ask_for(tmp_path: Path) -> None:
    """Neither before the program runs nor for the report at its end."""
    command = [sys.executable, "-P", "-X", "importtime", "-m", "gilprobe", "record", "-c", "print('ran')"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    assert {"argparse", "gilprobe.render.text.trace_text"} <= loaded
    assert not loaded & (HEAVY - loaded_when_empty()), sorted(loaded)
    shared = {"gilprobe.cli.arguments", "gilprobe.cli.output"}
    commands = {name for name in loaded if name.startswith("gilprobe.cli.")}
    assert commands - shared == {"gilprobe.cli.record"}


def loaded_when_empty() -> set[str]:
    """Return what the interpreter loads to run a module that has arguments, with `site` and what it finds."""
    code = "import runpy, argparse, threading, sys, json; argparse.ArgumentParser().parse_args([])"
    code += "; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, timeout=60, check=True)
    return set(json.loads(done.stdout)) - {"json"}


@pytest.mark.skipif(not TRACED, reason="the GIL can't be traced here")
def test_a_followed_child_loads_nothing_that_few_ask_for(tmp_path: Path) -> None:
    child = "import sys; print(*sorted(sys.modules))"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-P', '-c', {child!r}], check=True)"
    command = [sys.executable, "-P", "-m", "gilprobe", "record", "--follow", "--quiet", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.split())
    assert "gilprobe.tracing.tracer" in loaded, done.stderr
    without = {"argparse", "re", "gilprobe.model", "gilprobe.report", "gilprobe.render", "gilprobe.cli"}
    assert not loaded & (HEAVY | without)


@pytest.mark.skipif(not TRACED, reason="the GIL can't be traced here")
def test_what_a_trace_loads_is_loaded_when_it_starts() -> None:
    """Not while it runs, when loading would be measured, nor when it ends, which the program's end may be."""
    assert not loaded_by("trace.stop()", after="import gilprobe; trace = gilprobe.trace().start()")


def test_import_starts_no_thread_and_leaves_the_switch_interval() -> None:
    before, after = in_new_process(
        """
        import json, sys, threading
        from pathlib import Path
        def state():
            tasks = Path("/proc/self/task")
            threads = len(list(tasks.iterdir())) if tasks.is_dir() else threading.active_count()
            return [sys.getswitchinterval(), threads]
        before = state()
        import gilprobe
        print(json.dumps([before, state()]))
        """
    )
    assert before == after


@pytest.mark.skipif(not FREE_THREADED, reason="this build always has a GIL")
def test_import_leaves_the_gil_off() -> None:
    enabled = in_new_process(
        """
        import json, sys
        before = sys._is_gil_enabled()
        import gilprobe
        for name in gilprobe.__all__:
            getattr(gilprobe, name)
        print(json.dumps([before, sys._is_gil_enabled()]))
        """
    )
    assert enabled == [False, False]


@pytest.mark.parametrize("name", gilprobe.__all__)
def test_every_public_name_resolves_in_a_new_process(name: str) -> None:
    """Each name works as the first one used: none depends on another having been imported."""
    assert in_new_process(
        f"""
        import json, gilprobe
        first = gilprobe.{name}
        print(json.dumps(first is gilprobe.{name}))
        """
    )


def test_dir_lists_every_public_name() -> None:
    assert set(gilprobe.__all__) <= set(dir(gilprobe))


def test_public_names_are_sorted_and_unique() -> None:
    assert list(gilprobe.__all__) == sorted(set(gilprobe.__all__))


def test_star_import_binds_the_public_names() -> None:
    bound = in_new_process(
        """
        import json
        names = {}
        exec("from gilprobe import *", names)
        print(json.dumps(sorted(set(names) - {"__builtins__"})))
        """
    )
    assert bound == sorted(gilprobe.__all__)


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gilprobe.nothing  # noqa: B018 - the access is what is tested


def test_version_is_the_installed_distributions() -> None:
    assert gilprobe.__version__ == importlib.metadata.version("gilprobe")
