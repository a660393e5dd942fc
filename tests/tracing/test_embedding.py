"""A program that embeds Python may finalize it and begin anew, and trace each time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import gilprobe
from gilprobe._native import tracer

SUPPORTED, REASON = tracer.support()
COMPILER = shutil.which("cc")
SHARED = sysconfig.get_config_var("Py_ENABLE_SHARED") and sysconfig.get_config_var("LIBDIR")

pytestmark = [
    pytest.mark.skipif(not SUPPORTED, reason=f"the GIL can't be traced here: {REASON}"),
    pytest.mark.skipif(not (COMPILER and SHARED), reason="needs a compiler and the interpreter as a library"),
]

EMBEDDING = r"""
#include <Python.h>

int main(int argc, char **argv)
{
    for (int life = 0; life < 3; life++) {
        PyConfig config;
        PyConfig_InitPythonConfig(&config);
        PyConfig_SetBytesString(&config, &config.executable, argv[1]);
        PyStatus status = Py_InitializeFromConfig(&config);
        PyConfig_Clear(&config);
        if (PyStatus_Exception(status) || PyRun_SimpleString(argv[2]) != 0 || Py_FinalizeEx() != 0)
            return 1;
    }
    return argc != 3;
}
"""

LIFE = """
import threading, gilprobe
from gilprobe import kernels
with gilprobe.trace(timeline=True) as trace:
    thread = threading.Thread(target=sum, args=(range(100_000),), name="summing")
    thread.start()
    thread.join()
names = [account.name for account in trace.report().threads]
print(gilprobe.capabilities().tracer, sorted(names), len(trace.timeline().threads), kernels.__name__)
"""


def test_each_life_of_an_interpreter_is_traced(tmp_path):
    source, program = tmp_path / "embedding.c", tmp_path / "embedding"
    source.write_text(EMBEDDING)
    library = sysconfig.get_config_var("LIBDIR")
    name = sysconfig.get_config_var("LDLIBRARY").removeprefix("lib").partition(".so")[0]
    include = sysconfig.get_path("include")
    command = [COMPILER, source, "-o", program, f"-I{include}", f"-L{library}", f"-l{name}"]
    subprocess.run([*command, f"-Wl,-rpath,{library}"], check=True)
    found = os.environ | {"PYTHONPATH": str(Path(gilprobe.__file__).parents[1])}
    # The interpreter itself, not that of a virtual environment, whose folders lack the standard library.
    command = [program, getattr(sys, "_base_executable", sys.executable), LIFE]
    ended = subprocess.run(command, env=found, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert ended.stdout == "exact ['MainThread', 'summing'] 2 gilprobe.kernels\n" * 3
