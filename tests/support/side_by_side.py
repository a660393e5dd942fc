"""Run a program under plain ``python`` and under ``gilprobe record``, at the same time, and compare."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import textwrap

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def environment(**changes):
    """Return an environment in which a program's output depends on nothing but the program."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GILPROBE", "COVERAGE"))}
    if FREE_THREADED:
        kept["PYTHON_GIL"] = "1"
    # Before 3.12 a child of a process with coloured output would not inherit the choice.
    return kept | {"NO_COLOR": "1"} | changes


def write_files(folder, files):
    """Write `files`, text or bytes by name."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = textwrap.dedent(content).encode()
        path.write_bytes(content)


def start(command, folder, *, stdin=None, env=None, **options):
    """Start a process whose streams are pipes."""
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment(**(env or {})),
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def outcome(process, stdin=None):
    """Return status, standard output, standard error, where addresses of objects are all the same."""
    try:
        out, err = process.communicate(stdin, timeout=120)
    finally:
        process.kill()
    out, err = (re.sub("0x[0-9a-f]+", "0x", text.decode(errors="replace")) for text in (out, err))
    return process.returncode, out, err


def record_command(*arguments, flags=(), options=("--quiet",), target=None):
    """Return the command line that records what `arguments` name."""
    into = [] if target is None else ["-o", str(target)]
    return [sys.executable, *flags, "-m", "gilprobe", "record", *options, *into, *arguments]


def both(folder, *arguments, flags=(), stdin=None, env=None, shell="{}", options=()):
    """Return the outcomes of a program under plain python and under ``gilprobe record --quiet``.

    Parameters
    ----------
    folder : pathlib.Path
        Where to run it.
    arguments : str
        What follows ``python``: script, ``-m`` module or ``-c`` code with their arguments.
    flags : sequence of str
        The interpreter's own options.
    shell : str
        A shell command line in which ``{}`` stands for the program.
    options : sequence of str
        More options for ``record``.
    """
    if FREE_THREADED:  # also where the environment is ignored
        flags = ("-X", "gil=1", *flags)
    commands = (
        [sys.executable, *flags, *arguments],
        record_command(*arguments, flags=flags, options=("--quiet", *options)),
    )
    processes = [
        start(["bash", "-c", shell.replace("{}", '"$@"'), "bash", *command], folder, stdin=stdin, env=env)
        for command in commands
    ]
    return [outcome(process, stdin) for process in processes]
