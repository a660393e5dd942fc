"""What scripts rely on, as plain data: commands, public names, formats, exit statuses.

``python tests/support/contract.py``, with gilprobe installed, saves it in tests/data/contract, where
tests/test_contract.py compares it. Run it when you change the contract on purpose, and read the diff. With
``--recording`` it also records tests/data/contract/program.py anew. Do that only when the format changes: the
old recording shows that old recordings can still be read.
"""

from __future__ import annotations

import argparse
import contextlib
import enum
import gzip
import importlib
import inspect
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

FOLDER = Path(__file__).resolve().parents[1] / "data" / "contract"
MODULES = ("gilprobe", "kernels", "refs", "report", "results", "errors", "scenarios")
LAWS = ("by_name", "parallel_law", "scaling_facts", "speedup_law")  # those that docs/own-scenarios.md uses
PLAIN = (bool, int, float, str, type(None), tuple, list)

GILPROBE = (sys.executable, "-P", "-m", "gilprobe")
RECORDING, RESULTS = "recording.gilprobe", "results.json"
RUN = ("run", "python-loop", "--threads", "1,2", "--repeat", "2", "--quick", "--no-html")
AUDIT = ("audit", "sum(range(9))", "--threads", "1", "--repeat", "2", "--quick")
LEAKS = ("--warmup", "1", "--repeats", "5", "--calls", "20")
# name of a file -> the command that writes it; FILE stands for its path
WRITES_JSON = {
    "run": (*RUN, "--json", "FILE"),
    "audit": (*AUDIT, "--json", "FILE"),
    "compare": ("compare", RESULTS, RESULTS, "--json", "FILE"),
    "leaks": ("leaks", "leaky.py::keep", *LEAKS, "--json", "FILE"),
    "list": ("list", "--json"),
    "doctor": ("doctor", "--json"),
    "report": ("report", RECORDING, "--json", "FILE"),
}
# how the saved recording reads
EXPORTS = ("json", "csv", "perfetto", "folded")
ENDS = (
    (),
    ("--version",),
    ("--help",),
    ("no-such-command",),
    ("report", RECORDING),
    ("report", RESULTS),
    ("report", "no-such-file"),
    ("report", "leaky.py"),
    ("report", RECORDING, "--json", "-", "--csv", "-"),
    ("report", RESULTS, "--csv", "-"),
    ("compare", RESULTS, RESULTS),
    ("compare", RESULTS, RECORDING),
    ("run", "no-such-scenario"),
    ("run", "--threads", "0"),
    ("record",),
    ("record", "--quiet", "-o", "ended", "-c", "raise SystemExit(7)"),
    ("record", "--quiet", "-o", "failed", "-c", "1 / 0"),
    ("top",),
    ("top", "-c", "pass"),
    ("audit",),
    (*AUDIT, "--fail-under", "0.9"),
    ("sharing",),
    ("sharing", "1", "--threads", "1"),
    ("leaks", "no_such_module:function"),
    ("leaks", "leaky.py::keep", *LEAKS),
    ("leaks", "leaky.py::forget", *LEAKS),
)
LEAKY = "kept = []\n\ndef keep():\n    kept.append([])\n\ndef forget():\n    return []\n"


def commands() -> dict:
    """Return the arguments of each command."""
    from gilprobe.cli import main

    class StoppedError(Exception):
        pass

    def stop(parser, *_):
        raise StoppedError(parser)

    with mock.patch.object(argparse.ArgumentParser, "parse_args", stop):
        try:
            main([])
        except StoppedError as stopped:
            whole = stopped.args[0]
    (below,) = (action for action in whole._actions if isinstance(action, argparse._SubParsersAction))
    return {name: arguments_of(parser) for name, parser in {"": whole, **below.choices}.items()}


def arguments_of(parser: argparse.ArgumentParser) -> dict:
    return {
        " ".join(action.option_strings) or str(action.metavar or action.dest): {
            "kind": type(action).__name__.strip("_"),
            "metavar": action.metavar,
            "nargs": action.nargs,
            "choices": None if action.choices is None else list(action.choices),
            "default": action.default,
            # of what has no option, nargs says it; interpreters differ in what they have of "*"
            "required": bool(action.option_strings) and action.required,
        }
        for action in parser._actions
    }


def public_names() -> dict:
    """Return what the documented modules offer."""
    found = {}
    for name in MODULES:
        module = importlib.import_module("gilprobe" if name == "gilprobe" else f"gilprobe.{name}")
        offered = getattr(module, "__all__", None) or [
            each
            for each, value in vars(module).items()
            if not each.startswith("_") and getattr(value, "__module__", "") == module.__name__
        ]
        found[name] = {each: described(getattr(module, each)) for each in sorted(offered)}
    laws = importlib.import_module("gilprobe.scenarios.laws")
    found["scenarios.laws"] = {each: described(getattr(laws, each)) for each in LAWS}
    return found


def described(value: object) -> object:
    """Return the parameters of a function, the members of a class, the kind of anything else."""
    if inspect.isclass(value):
        return {
            "": parameters(value),
            "bases": [
                base.__name__
                for base in value.__mro__[1:-1]
                if base.__module__ in {"builtins", "gilprobe.errors"}
            ],
            **{
                name: "value" if not callable(member) else parameters(member)
                for name, member in inspect.getmembers(value)
                if not name.startswith("_") and not inherited_from_python(value, name)
            },
        }
    return parameters(value) if callable(value) else type(value).__name__


def inherited_from_python(kind: type, name: str) -> bool:
    home = next(base for base in kind.__mro__ if name in vars(base))
    return home.__module__ in {"builtins", "enum", "typing"}


def parameters(function: object) -> str:
    """Return the parameters without their types; a default that is no plain value becomes three dots."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return "(?)"
    bare = [
        each.replace(
            annotation=each.empty,
            default=each.default if each.default is each.empty or plain(each.default) else ...,
        )
        for each in signature.parameters.values()
    ]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


def plain(value: object) -> bool:
    return isinstance(value, PLAIN) and not isinstance(value, enum.Enum)


def plugin() -> dict:
    """Return the options, markers and fixtures of the pytest plugin."""
    import gilprobe.pytest_plugin as module

    parser, config = mock.MagicMock(), mock.MagicMock()
    config.getoption.return_value = False
    module.pytest_addoption(parser)
    module.pytest_configure(config)
    options = parser.getgroup.return_value.addoption.call_args_list
    markers = [call.args[1].partition(":")[0] for call in config.addinivalue_line.call_args_list]
    return {
        "options": {
            call.args[0]: {
                key: call.kwargs[key] for key in ("action", "default", "metavar") if key in call.kwargs
            }
            for call in options
        },
        "markers": sorted(markers),
        "fixtures": sorted(
            name
            for name, value in vars(module).items()
            if hasattr(value, "_pytestfixturefunction") or type(value).__name__ == "FixtureFunctionDefinition"
        ),
    }


@contextlib.contextmanager
def workplace():
    """Be in a folder of its own with what the commands below need."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        for name in (RECORDING, RESULTS):
            Path(folder, name).write_bytes((FOLDER / name).read_bytes())
        Path(folder, "leaky.py").write_text(LEAKY, encoding="utf-8")
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def statuses() -> dict:
    """Return the exit status of each of some calls."""
    with workplace():
        return {" ".join(call): ended(call).returncode for call in ENDS}


def ended(call) -> subprocess.CompletedProcess:
    return subprocess.run([*GILPROBE, *call], capture_output=True, stdin=subprocess.DEVNULL, check=False)


def formats() -> dict:
    """Return the keys of what each command writes as JSON."""
    return {name: keys(written(call)) for name, call in WRITES_JSON.items()}


def written(call) -> object:
    with workplace():
        done = ended(call)
        if "FILE" not in call:
            return json.loads(done.stdout)
        return json.loads(Path("FILE").read_text(encoding="utf-8"))


def keys(value: object, path: str = "") -> dict[str, list[str]]:
    """Return the keys of each object in JSON, by the object's path; [] stands for all elements of a list."""
    found: dict[str, set[str]] = {}
    if isinstance(value, dict):
        found[path] = set(value)
        inside = [(each, f"{path}.{key}") for key, each in value.items()]
    else:
        inside = [(each, f"{path}[]") for each in value] if isinstance(value, list) else []
    for each, where in inside:
        for below, names in keys(each, where).items():
            found.setdefault(below, set()).update(names)
    return {where: sorted(names) for where, names in found.items()}


def exported(kind: str) -> object:
    """Return what ``gilprobe report`` makes of the saved recording."""
    from gilprobe.cli import main

    text = io.StringIO()
    with mock.patch.object(sys, "stdout", text):
        status = main(["report", str(FOLDER / RECORDING), f"--{kind}", "-"])
    assert status == 0
    return text.getvalue() if kind in {"csv", "folded"} else json.loads(text.getvalue())


def face() -> dict:
    """Return all that is compared as a whole."""
    return {"commands": commands(), "names": public_names(), "plugin": plugin()}


def record() -> None:
    """Save a recording and results, made by the gilprobe that is installed.

    They hold the paths of what ran, so a copy runs, in a folder that is gone afterwards.
    """
    package = Path(importlib.import_module("gilprobe").__path__[0])
    with tempfile.TemporaryDirectory(prefix="contract-") as folder:
        shutil.copytree(package, Path(folder, "gilprobe"))
        shutil.copy(FOLDER / "program.py", folder)
        environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{package.parent}"}
        for call in (
            ("record", "--quiet", "--stacks", "-o", RECORDING, "program.py"),
            (*RUN, "--json", RESULTS),
        ):
            command = [*GILPROBE, *call]
            subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
        for name in (RECORDING, RESULTS):
            (FOLDER / name).write_bytes(Path(folder, name).read_bytes())


def save() -> None:
    """Write the contract as it is now."""
    for kind in EXPORTS:
        with gzip.GzipFile(FOLDER / f"{kind}.gz", "wb", mtime=0) as file:
            file.write(json.dumps(exported(kind)).encode())
    for name, found in {"face": face(), "formats": formats(), "statuses": statuses()}.items():
        text = json.dumps(found, indent=1, sort_keys=True)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    if "--recording" in sys.argv[1:]:
        record()
    save()
