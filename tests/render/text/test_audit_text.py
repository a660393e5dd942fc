"""Audits as text: every number, every doubt, nothing that a terminal would obey."""

from __future__ import annotations

import dataclasses
import json

import pytest

from gilprobe.errors import FormatError
from gilprobe.model.audit_result import (
    AuditedLock,
    AuditResult,
    AuditSet,
    Holds,
    LongestHold,
    Speedup,
    Unaudited,
)
from gilprobe.model.distribution import Distribution
from gilprobe.render.text.audit_text import render_audit, render_audits

pytestmark = pytest.mark.plain_python


@pytest.fixture
def audit(environment):
    return AuditResult(
        name="zlib.compress(data)",
        verdict="releases",
        call_ns=2_000_000,
        calls=70,
        released_fraction=0.994,
        released_low=0.993,
        released_high=0.995,
        hold_ns=12_000,
        released_ns=1_988_000,
        releases=3.0,
        others_hold_ns=0,
        holds=Holds(
            calls=10,
            lengths=Distribution(40, 120_000, 9_000, ((100, 40),)),
            first_fraction=0.2,
            last_fraction=0.3,
            longest=LongestHold("pack", "/srv/app.py", 7, 9_000),
            cpu_fraction=0.5,
            blocks=1.0,
        ),
        speedups=(Speedup(2, 1.9, 1.8, 2.0, 2.0),),
        gil_switched_on_by="",
        warnings=("other load: much",),
        environment=environment,
    )


def test_the_numbers_and_the_doubts_are_shown(audit):
    text = render_audit(audit)
    for part in (
        "zlib.compress(data)",
        "releases",
        "99.4% of it (95% interval 99.3% to 99.5%): 1.99 ms, held 12 us",
        "4 a call: p50",
        "max 9 us",
        "3 times a call",
        "9 us in pack (",
        "app.py:7",
        "50.0% of its holds",
        "1.90 times one thread (1.80 to 2.00); its holds and the cores allow 2.00",
        "other load: much",
    ):
        assert part in text, part


def test_what_could_not_be_traced_is_not_made_up(audit):
    nothing = dict.fromkeys(
        ("released_fraction", "released_low", "released_high", "hold_ns", "released_ns", "releases")
    )
    bare = dataclasses.replace(
        audit, **nothing, holds=None, others_hold_ns=None, speedups=(Speedup(2, 1.9, 1.8, 2.0, None),)
    )
    text = render_audit(bare)
    assert "released" not in text.partition("2 threads")[0]
    assert "allow" not in text
    assert bare.hold_s is None
    assert bare.released_s is None


def test_locks_and_own_objects_are_shown(audit):
    places = ("Cache.get", "/srv/app.py", 7, "Cache.put", "/srv/app.py", 12)
    shared = AuditedLock("Lock `self._lock` of Cache", "lock", 2, 0.25, 1000, *places)
    own = AuditedLock("Lock `done\x1b`", "lock", 1, 0.01, 10, "wait", "/srv/app.py", 9, "", "", 0)
    text = render_audit(
        dataclasses.replace(audit, locks=(shared, own), own_speedups=(Speedup(2, 1.9, 1.8, 2.0, None),))
    )
    for part in (
        "Lock `self._lock` of Cache: waited for 25.0% of the time by 2 threads in Cache.get (",
        ", behind Cache.put (",
        "waited for 1.0% of the time even alone in wait (",
        "own objects  1.90 times one thread (1.80 to 2.00), with 2 threads on objects of their own",
    ):
        assert part in text, part
    assert "\x1b" not in text
    assert "waited for" not in render_audit(dataclasses.replace(audit, locks=()))


def test_several_audits_are_a_table_with_what_could_not_be_audited(audit):
    text = render_audits([audit, audit], [Unaudited("os.abort()", "its process was killed by SIGABRT")])
    assert text.count("zlib.compress(data)") == 2
    assert "1.90 x2" in text
    assert "os.abort(): its process was killed by SIGABRT" in text


def test_foreign_names_are_escaped(audit):
    nasty = "\x1b[2J\u202e\ud800"
    holds = dataclasses.replace(audit.holds, longest=LongestHold(nasty, nasty, 1, 5))
    evil = dataclasses.replace(audit, name=nasty, warnings=(nasty,), holds=holds)
    text = render_audit(evil) + render_audits([evil], [Unaudited(nasty, nasty)])
    assert all(c.isprintable() or c == "\n" for c in text)


def test_audits_come_back_from_json_and_nothing_else_does(audit, environment, tmp_path):
    whole = AuditSet(environment, (audit,), (Unaudited("x", "y"),))
    whole.save(tmp_path / "a.json")
    assert AuditSet.load(tmp_path / "a.json") == whole
    document = json.loads((tmp_path / "a.json").read_text())
    assert (document["schema"], document["audits"][0]["verdict"]) == (1, "releases")
    for damage in ({"schema": 2}, {"schema": True}, {"audits": 3}, {"more": 1}):
        with pytest.raises(FormatError):
            AuditSet.from_dict(document | damage)
    with pytest.raises(FormatError):
        AuditSet.from_dict([])


def test_a_notebook_shows_what_the_terminal_shows(audit, environment):
    one = dataclasses.replace(audit, name="<b>zlib</b>")
    page = one._repr_html_()
    assert "&lt;b&gt;zlib&lt;/b&gt;" in page
    assert "<b>" not in page
    assert one._repr_mimebundle_()["text/plain"] == render_audit(one)
    several = AuditSet(environment, (audit, one), (Unaudited("exit()", "it ended the process"),))
    assert several._repr_mimebundle_()["text/plain"] == render_audits(several.audits, several.unaudited)
    assert several._repr_html_().count("<tr>") == 3
