"""Own code is told from libraries by the names of files alone: recordings come from other machines."""

from __future__ import annotations

import pytest

from gilprobe.model.own_code import OwnCode, module_name

pytestmark = pytest.mark.plain_python

OWN = (
    "/srv/app.py",
    "app.py",
    "/home/me/lib/tools.py",
    "/home/me/python3/app.py",
    "/home/me/lib/pythonic/app.py",
    "<string>",
    "<stdin>",
    "<ipython-input-3-a1b2>",
    "<doctest app.f[0]>",
)
FOREIGN = {
    "/usr/lib/python3.11/json/__init__.py": "json",
    "/usr/lib/python3.11/json/encoder.py": "json.encoder",
    "/root/.pyenv/versions/3.13.0/lib/python3.13t/threading.py": "threading",
    "/opt/lib64/python3.12/concurrent/futures/thread.py": "concurrent.futures.thread",
    "/usr/lib/python311.zip/json/decoder.py": "json.decoder",
    "/srv/venv/lib/python3.14/site-packages/numpy/_core/numeric.py": "numpy._core.numeric",
    "/usr/lib/python3/dist-packages/yaml/__init__.py": "yaml",
    "site-packages/one.py": "one",
    "<frozen importlib._bootstrap>": "importlib._bootstrap",
    "<__array_function__ internals>": "<__array_function__ internals>",
    "<attrs generated init app.Point>": "<attrs generated init app.Point>",
}


@pytest.mark.parametrize("filename", OWN)
def test_what_is_no_library_is_own_code(filename):
    assert OwnCode().has(filename)


@pytest.mark.parametrize("filename", ["", *FOREIGN])
def test_libraries_and_what_they_make_are_not(filename):
    assert not OwnCode().has(filename)


@pytest.mark.parametrize(("filename", "name"), FOREIGN.items())
def test_a_module_of_a_library_has_its_dotted_name(filename, name):
    assert module_name(filename) == name


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("/srv/app.py", "app"),
        ("app.py", "app"),
        ("/srv/pkg/__init__.py", "pkg"),
        ("/srv/tool", "tool"),
        ("", ""),
    ],
)
def test_another_file_has_its_own_name(filename, name):
    assert module_name(filename) == name


def test_folders_decide_alone_if_they_are_given(tmp_path, monkeypatch):
    own = OwnCode(["/srv/venv/lib/python3.14/site-packages/ours", "src/"])
    assert own.has("/srv/venv/lib/python3.14/site-packages/ours/a.py")
    assert own.has("src/a.py")
    assert not own.has("/srv/venv/lib/python3.14/site-packages/ours_too/a.py")
    assert not own.has("/srv/app.py")
    assert not own.has("")
    monkeypatch.chdir(tmp_path)
    assert OwnCode(["src"]).has(f"{tmp_path}/src/a.py")
    assert OwnCode(["."]).has(f"{tmp_path}/a.py")
