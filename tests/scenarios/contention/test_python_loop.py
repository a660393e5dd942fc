from __future__ import annotations

from gilprobe.scenarios.contention import python_loop


def findings_of(monkeypatch, observe, request):
    monkeypatch.setattr(python_loop, "observe", observe)
    return python_loop.SCENARIO.measure(request)


def test_a_slight_loss_is_what_a_gil_leads_to(monkeypatch, observed, ask):
    found = findings_of(monkeypatch, observed(lambda _name, threads: 100 if threads == 1 else 97), ask())
    assert [law.verdict for law in found.laws] == ["holds", "holds"]
    assert found.facts[-1].name == "handoffs_4"


def test_a_heavy_loss_and_a_gain_are_told(monkeypatch, observed, ask):
    for value in (80, 140):
        model = observed(lambda _name, threads, value=value: 100 if threads == 1 else value)
        found = findings_of(monkeypatch, model, ask())
        assert [law.verdict for law in found.laws] == ["does not hold", "does not hold"]


def test_without_a_gil_it_is_expected_to_scale(monkeypatch, observed, ask):
    request = ask(build="free-threaded", gil_enabled=False, traced=False)
    found = findings_of(monkeypatch, observed(lambda _name, threads: 100 * min(threads, 2)), request)
    assert [law.verdict for law in found.laws] == ["holds", "holds"]
    assert all("no GIL" in law.text for law in found.laws)
    assert found.traces == ()


def test_the_countdown_ends():
    python_loop.countdown(1000)
    python_loop.countdown(0)
