"""Which batches of calls count, and what a search makes of them."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest

import gilprobe
from gilprobe.auditing import shared_costs, shared_use
from gilprobe.auditing.shared_costs import CallBatch, Way, run_batches, undisturbed
from gilprobe.cli import main
from gilprobe.errors import FormatError, InvalidTypeError, InvalidValueError, UnsupportedError
from gilprobe.measuring import host
from gilprobe.measuring.measure import Settings
from gilprobe.model.sharing_result import SharedObject, SharingResult
from gilprobe.render.text.sharing_text import render_sharing

pytestmark = pytest.mark.plain_python

FREE = not gilprobe.capabilities().gil_enabled
with_gil = pytest.mark.skipif(FREE, reason="there is no GIL here")


def batches(*spans, whole=True):
    return [CallBatch(start, end, whole) for start, end in spans]


def test_batches_count_while_all_others_run():
    """The second begins late, and the last of the first has nobody beside it."""
    first = batches((0, 10), (10, 20), (20, 30), (40, 55))
    second = batches((12, 20), (20, 31))
    assert sorted(undisturbed([first, second])) == [8, 10, 11]


def test_a_preempted_batch_counts_for_nobody():
    first = batches((0, 10), (10, 20))
    second = batches((0, 10)) + batches((10, 20), whole=False)
    assert undisturbed([first, second]) == [10, 10]


def test_one_thread_needs_nobody():
    assert undisturbed([batches((0, 10)) + batches((10, 90), whole=False)]) == [10]


def test_all_of_several_must_run():
    assert undisturbed([batches((0, 10)), batches((0, 10)), batches((5, 10))]) == [5]


def test_each_member_has_a_call_of_its_own_and_makes_batches():
    made = []

    def call():
        made.append(1)
        return lambda: None

    members = run_batches(Way(3, call), 10, 0)
    assert len(made) == 3
    assert [len(member) >= 2 for member in members] == [True] * 3
    assert all(batch.start_ns <= batch.end_ns for member in members for batch in member)


@pytest.mark.parametrize("where", ["making", "first", "later"])
def test_what_a_call_raises_comes_back(where):
    calls = []

    def make():
        if where == "making":
            raise KeyError(where)

        def call():
            calls.append(1)
            if where == "first" or len(calls) > 5:
                raise KeyError(where)

        return call

    with pytest.raises(KeyError, match=where):
        run_batches(Way(2, make), 10, 1_000_000)


def test_a_batch_is_long_beside_the_clock():
    calls, call_ns = shared_costs.calls_of_a_batch(lambda: None)
    assert calls >= 1
    assert call_ns > 0


def shared_object(**changes):
    known = {
        "name": "app.TABLE",
        "kind": "dict",
        "cause": "reference count",
        "factor": 3.0,
        "low": 2.5,
        "high": 3.5,
        "changes_per_s": 4e5,
        "locked": 0.0,
    }
    return SharedObject(**{**known, **changes})


def result(*objects, factor=3.0, low=2.5):
    return SharingResult(
        name="app.call()",
        verdict=shared_use.verdict(2, factor, low, objects),
        threads=2,
        alone_ns=100.0,
        shared_ns=330.0,
        own_ns=110.0,
        factor=factor,
        low=low,
        high=3.6,
        objects=objects,
        reached=1234,
        warnings=("busy machine: told",),
        environment=host.read_environment(),
    )


def test_the_verdict_names_the_first_object_and_its_cause():
    assert result(shared_object()).verdict == (
        "2 threads take 3.00 times as long a call as with objects of their own; "
        "most for the reference count of app.TABLE"
    )
    assert "no single object" in result().verdict
    assert result(factor=1.2, low=0.9).verdict == "2 threads lose nothing by sharing objects"
    assert result(factor=1.01, low=1.0).verdict == "2 threads lose nothing by sharing objects"


def test_a_result_survives_its_file(tmp_path):
    made = result(shared_object(), shared_object(cause="lock"))
    made.save(tmp_path / "file.json")
    assert SharingResult.load(tmp_path / "file.json") == made
    document = made.to_dict()
    document["objects"][0]["cause"] = "magic"
    with pytest.raises(FormatError, match="must be one of"):
        SharingResult.from_dict(json.loads(json.dumps(document)))


def test_a_result_reads_as_a_table():
    text = render_sharing(result(shared_object(name="app.\x1b[2J")))
    assert "factor       3.00 (95% interval 2.50 to 3.60)" in text
    assert "1,234 objects" in text
    assert "\x1b" not in text
    assert "reference count  dict" in text
    assert "- busy machine: told" in text


class MadeUpCosts:
    """Measures nothing.

    `slow` says what each object costs while its references are counted, `locks` what it costs while the
    threads have it in common.
    """

    slow: ClassVar[dict[int, float]] = {}
    locks: ClassVar[dict[int, float]] = {}
    ways = 0

    def __init__(self, *_):
        pass

    def measure(self, ways, samples, _rounds):
        for way in ways:
            MadeUpCosts.ways += 1
            exempt = {id(one) for one in way.exempt}
            common = {id(one) for one in way.call().args}
            ns = 100.0
            if way.threads > 1:
                ns += sum(cost for one, cost in self.slow.items() if one not in exempt)
                ns += sum(cost for one, cost in self.locks.items() if one in common)
            way.samples += [ns] * samples


@pytest.fixture
def search(monkeypatch):
    """Search among objects that are said to be touched, with made-up costs."""
    monkeypatch.setattr(shared_use, "SharedCosts", MadeUpCosts)
    monkeypatch.setattr(MadeUpCosts, "ways", 0)

    def searched(args, touched, slow, locks=()):
        monkeypatch.setattr(MadeUpCosts, "slow", {id(one): cost for one, cost in slow})
        monkeypatch.setattr(MadeUpCosts, "locks", {id(one): cost for one, cost in locks})
        held = {id(one) for one, _ in locks}
        request = shared_use.SharingRequest(
            "call", lambda *_: None, args, 2, Settings.quick(), 10.0, lambda *_: None
        )
        made = shared_use._SharingSearch(request)
        found = [
            shared_use.Touched(made._reach.found[id(one)], 1000.0, 0.1 if id(one) in held else 0.0)
            for one in touched
        ]
        monkeypatch.setattr(made, "_touched", lambda: found)
        return made.result()

    return searched


def test_groups_are_halved_until_the_culprits_are_left(search):
    things = [[number] for number in range(40)]
    found = search((things,), things, [(things[17], 50.0), (things[3], 100.0)])
    assert found.factor == 2.5
    assert [(one.name, one.factor, one.cause) for one in found.objects] == [
        ("argument 1[3]", 2.0, "reference count"),
        ("argument 1[17]", 1.5, "reference count"),
    ]
    assert MadeUpCosts.ways < 2 * len(things), "fewer than one by one"


def test_a_lock_is_told_from_a_count(search):
    first, second = {1}, {2}
    found = search((first, second), [first, second], [(first, 40.0), (second, 40.0)], [(first, 80.0)])
    assert [(one.name, round(one.factor, 6), one.cause) for one in found.objects] == [
        ("argument 1", 2.2, "lock"),
        ("argument 2", 1.4, "reference count"),
    ]


def test_nothing_touched_is_nothing_lost(search):
    found = search(([1],), [], [])
    assert (found.factor, found.objects) == (1.0, ())
    assert found.verdict == "2 threads lose nothing by sharing objects"


def test_a_loss_that_no_object_explains_is_a_doubt(search):
    thing = [1]
    found = search((thing,), [], [(thing, 100.0)])
    assert found.objects == ()
    assert any(doubt.startswith("something else: with own objects 2 threads") for doubt in found.warnings)


@pytest.mark.timing
@pytest.mark.skipif(not FREE or host.usable_cores() < 2, reason="needs two threads at the same time")
def test_a_shared_list_is_found():
    def read(shared):
        for _ in range(100):
            shared[0]

    try:
        found = gilprobe.sharing(read, [1], threads=2, limit_s=20)
    except UnsupportedError as error:  # this machine is too busy
        pytest.skip(str(error))
    assert [(one.name, one.cause) for one in found.objects] == [("argument 1", "reference count")]
    assert found.factor > 1.1


@pytest.mark.skipif(not FREE, reason="there is a GIL here")
def test_more_threads_than_cores_are_not_supported(capsys):
    assert main(["sharing", "1", "--threads", "1024", "--quick"]) == 3
    assert "1: 1024 threads must have a core each to run at the same time" in capsys.readouterr().err


@pytest.mark.skipif(not FREE, reason="there is a GIL here")
def test_a_statement_that_fails_is_told(capsys):
    assert main(["sharing", "1 / 0", "--quick"]) == 1
    assert "1 / 0: ZeroDivisionError: division by zero" in capsys.readouterr().err


@with_gil
def test_with_a_gil_one_line_says_why_not(capsys):
    assert main(["sharing", "1"]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gilprobe: error: this Python has a GIL: ")
    with pytest.raises(UnsupportedError, match="has a GIL"):
        gilprobe.sharing(len, ())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["1", "--threads", "1"], "threads must be between 2 and 1024, got 1"),
        (["1", "--repeat", "1"], "repeat must be between 2 and 1000, got 1"),
        (["1", "--fail-over", "0.5"], "--fail-over must be at least 1, got 0.5"),
        (["1", "--fail-over", "nan"], "--fail-over must be at least 1, got nan"),
        (["1 +"], "a statement must be Python code"),
        (["1", "--limit", "soon"], "--limit"),
    ],
)
def test_bad_arguments_are_one_line(arguments, said, capsys):
    assert main(["sharing", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_bad_arguments_of_the_function_are_told():
    with pytest.raises(InvalidTypeError, match="function must be callable, got 3"):
        gilprobe.sharing(3)
    with pytest.raises(InvalidTypeError, match="threads must be an integer"):
        gilprobe.sharing(len, (), threads=2.0)
    with pytest.raises(InvalidTypeError, match="name must be a string"):
        gilprobe.sharing(len, (), name=3)
    with pytest.raises(InvalidValueError, match="threads must be between 2 and 1024"):
        gilprobe.sharing(len, (), threads=1)
    with pytest.raises(InvalidTypeError, match="limit_s must be a number"):
        gilprobe.sharing(len, (), limit_s="1")
    with pytest.raises(InvalidValueError, match="limit_s must be above 0"):
        gilprobe.sharing(len, (), limit_s=0)
