"""The functions of a module, with arguments that are made up."""

from __future__ import annotations

import sys

import pytest

import gilprobe
from gilprobe.auditing.generated import functions, ready
from gilprobe.errors import InvalidTypeError, InvalidValueError
from gilprobe.model.audit_result import AuditSet


@pytest.mark.parametrize("name", ["os", "subprocess", "shutil", "os.path", "sys", "builtins"])
def test_modules_that_act_are_not_called_by_guess(name):
    with pytest.raises(InvalidValueError, match="acts on the system"):
        functions(name)


def test_a_module_that_cannot_be_imported_is_refused():
    with pytest.raises(InvalidValueError, match="must be importable, got 'no_such_module'"):
        functions("no_such_module")


def test_public_functions_are_found_and_classes_left_out():
    found = functions("zlib")
    assert {"compress", "crc32", "decompress"} <= set(found)
    assert "error" not in found


@pytest.mark.parametrize("name", ["compress", "crc32", "decompress"])
def test_arguments_that_fit_are_found(name):
    assert ready("zlib", name)() is not None


def test_a_function_that_takes_no_made_up_argument_is_refused_with_its_own_words():
    with pytest.raises(InvalidValueError, match="none of the generated arguments"):
        ready("math", "comb")


def test_a_function_whose_name_says_that_it_acts_is_not_called(tmp_path, monkeypatch):
    (tmp_path / "acting.py").write_text("def remove_all(x=None):\n    raise SystemError\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acting", raising=False)
    with pytest.raises(InvalidValueError, match="it acts on the system"):
        ready("acting", "remove_all")


@pytest.mark.parametrize("module", [3, None])
def test_what_is_no_module_is_refused(module):
    with pytest.raises(InvalidTypeError, match="must be a module or its name"):
        gilprobe.audit_module(module)


def test_a_module_is_audited_function_by_function(tmp_path, monkeypatch):
    """What exits or dies costs itself alone."""
    (tmp_path / "mixed.py").write_text(
        "import os, time, zlib\n"
        "def dies(data):\n    os.abort()\n"
        "def leaves(data):\n    raise SystemExit(3)\n"
        "def packs(data):\n    return zlib.crc32(data)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mixed", raising=False)
    found = gilprobe.audit_module("mixed", repeat=2)
    assert [audit.name for audit in found.audits] == ["mixed.packs"]
    reasons = {one.name: one.reason for one in found.unaudited}
    assert reasons.keys() == {"mixed.dies", "mixed.leaves"}
    assert "SIGABRT" in reasons["mixed.dies"]
    assert reasons["mixed.leaves"].startswith("SystemExit: 3")
    path = tmp_path / "audits.json"
    found.save(path)
    assert AuditSet.load(path) == found
