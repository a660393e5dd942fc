"""Native code that calls in, without Python code of its own: it is told by its object and its function."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess

import pytest
from tracer_checks import check

import gilprobe
from gilprobe._native import tracer
from gilprobe.render.text.trace_text import render_report

LIBRARY = """
int PyGILState_Ensure(void);
void PyGILState_Release(int state);

static void *come_in(void)
{
    for (int i = 0; i < 3; i++)
        PyGILState_Release(PyGILState_Ensure());
    return 0;
}

void *exported(void *unused) { void *result = come_in(); __asm__ volatile(""); return result; }
static void *hidden(void *unused) { void *result = come_in(); __asm__ volatile(""); return result; }
void *(*const pointer_to_hidden)(void *) = hidden;
void *call_back(void *function) { ((void (*)(void))function)(); __asm__ volatile(""); return 0; }
"""

pytestmark = [
    pytest.mark.skipif(not tracer.support()[0], reason=f"the GIL can't be traced: {tracer.support()[1]}"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="only there stacks are unwound"),
    pytest.mark.skipif(
        platform.libc_ver()[0] != "glibc" or tuple(map(int, platform.libc_ver()[1].split("."))) < (2, 35),
        reason="the loader can't be asked without its lock",
    ),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler to build native code with")
    folder = tmp_path_factory.mktemp("native")
    source, path = folder / "native.c", folder / "lib\x1bnative.so"
    source.write_text(LIBRARY, encoding="utf-8")
    options = ["-shared", "-fPIC", "-O2", "-fno-inline", "-fno-optimize-sibling-calls"]
    subprocess.run([compiler, *options, str(source), "-o", str(path)], check=True)
    return ctypes.CDLL(str(path))


def run_natively(function, argument=None):
    """Call a function on a thread that Python knows nothing of."""
    libc, handle = ctypes.CDLL(None), ctypes.c_ulong()
    assert libc.pthread_create(ctypes.byref(handle), None, function, argument) == 0
    assert libc.pthread_join(handle, None) == 0


def traced(*calls):
    """Return the report, and the names of sites that are no Python code."""
    with gilprobe.trace(stacks=True, looks=False) as trace:
        for call in calls:
            run_natively(*call)
    report = check(trace.report())
    return report, {site.function: site.releases for site in report.sites if not site.filename}


def test_it_is_told_by_its_function_if_that_is_exported_and_else_by_its_object(library):
    hidden = ctypes.c_void_p.in_dll(library, "pointer_to_hidden")
    report, releases = traced((library.exported,), (hidden,), (library.exported,))
    assert releases["exported (lib\x1bnative.so)"] == 6
    assert releases["(native code of lib\x1bnative.so)"] == 3
    assert "\x1b" not in render_report(report)


def test_what_ctypes_puts_between_is_passed_over(library):
    called = ctypes.CFUNCTYPE(None)(lambda: None)
    _, releases = traced((library.call_back, called))
    assert releases["call_back (lib\x1bnative.so)"] >= 1


def test_another_library_at_the_same_place_has_its_own_name(tmp_path, library):
    """Where the one was loaded the other may be."""
    dlclose = ctypes.CDLL(None).dlclose
    for name in "first.so", "second.so":
        shutil.copy(library._name, tmp_path / name)
        loaded = ctypes.CDLL(str(tmp_path / name))
        _, releases = traced((loaded.exported,))
        assert releases[f"exported ({name})"] == 3
        assert dlclose(ctypes.c_void_p(loaded._handle)) == 0
