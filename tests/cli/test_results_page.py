"""The page that `gilprobe run` leaves: where, when, and what it never touches; the same of saved results."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gilprobe.cli import main
from gilprobe.results import ResultSet
from gilprobe.scenarios import own_process
from gilprobe.workers import launch

pytestmark = pytest.mark.plain_python

GILPROBE = [sys.executable, "-P", "-m", "gilprobe"]
PAGE = Path("gilprobe-run.html")

FILE = """
import time
from gilprobe.scenarios import Findings, Scenario, Trial, observe_trials

def good(request):
    seen = observe_trials(request, [Trial("nap", 1, {"": "s"}, lambda: {"": 0.5})])
    return Findings(seen.measurement.arms, (), (), (), ())

def slow(request):
    open("ready", "w").close()
    time.sleep(600)

def scenario(name, measure):
    return Scenario(id=name, title="Mine", group="lessons", measure=measure, ceiling_s=600.0)

SCENARIOS = (scenario("good", good), scenario("slow", slow))
"""


@pytest.fixture
def run(result, monkeypatch, capsys):
    """Return a function that runs `gilprobe run` where the measuring is made up; its status and streams.

    `found` is what every scenario yields, None for nothing.
    """

    def call(*arguments, found=result):
        def measured(order, pythons, ceiling_s, told):
            return (launch.TaskOutcome(pythons[0], found, "", ""),)

        monkeypatch.setattr(own_process, "run_side_by_side", measured)
        status = main(["run", "held-vs-released", *arguments])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call


def page_of(path=PAGE):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert text.rstrip().endswith("</html>")
    return text


def test_a_run_leaves_a_private_page_and_says_where(run):
    status, out, err = run()
    assert (status, err) == (0, "")
    assert out.endswith("\nThe report: gilprobe-run.html\n")
    assert '"id":"held-vs-released"' in page_of()
    assert stat.S_IMODE(PAGE.stat().st_mode) == 0o600
    assert [path.name for path in Path().iterdir()] == [str(PAGE)]


def test_the_next_run_replaces_it(run):
    run()
    PAGE.write_text(page_of().replace('"id":"held-vs-released"', '"id":"old"'))
    assert run()[0] == 0
    assert '"id":"held-vs-released"' in page_of()


def test_a_file_that_is_not_a_page_of_gilprobes_is_left_alone(run):
    PAGE.write_text("<html>mine</html>")
    status, out, err = run()
    assert (status, "The report" in out) == (0, False)
    assert err.startswith("gilprobe: no report is written: gilprobe-run.html was not written by gilprobe")
    assert err.count("\n") == 1
    assert PAGE.read_text() == "<html>mine</html>"


def test_neither_a_folder_nor_a_pipe_of_that_name_stops_a_run(run):
    PAGE.mkdir()
    assert (run()[0], PAGE.is_dir()) == (0, True)
    PAGE.rmdir()
    os.mkfifo(PAGE)
    assert (run()[0], PAGE.is_fifo()) == (0, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_costs_a_line_and_the_page_only(run):
    Path().chmod(0o500)
    status, out, err = run()
    assert (status, "held" in out, err.count("\n")) == (0, True, 1)
    assert err.startswith("gilprobe: no report is written: ")


@pytest.mark.parametrize("arguments", [["--no-html"], ["--json", "-"]])
def test_none_is_written_where_none_is_wanted(run, arguments):
    assert run(*arguments)[0] == 0
    assert list(Path().iterdir()) == []


def test_a_name_can_be_chosen_also_beside_json_on_standard_output(run):
    status, out, err = run("--html", "mine.html", "--json", "-")
    assert (status, err) == (0, "")
    assert out.startswith("{")
    assert "The report" not in out
    assert '"id":"held-vs-released"' in page_of(Path("mine.html"))
    assert not PAGE.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--html", "-"], "--html must be a file"),
        (["--html", "/nowhere/at/all.html"], "--html must be a writable file"),
        (["--html", "/"], "got the directory '/'"),
        (["--html", "x", "--json", "x"], "--html and --json must be different files, got 'x' twice"),
        (["--html", "x", "--no-html"], "not allowed with argument"),
    ],
)
def test_an_unusable_name_is_told_before_anything_is_measured(run, arguments, message):
    status, out, err = run(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert list(Path().iterdir()) == []


def test_nothing_measured_leaves_an_earlier_page_as_it_was(run):
    run()
    before = PAGE.read_bytes()
    assert run(found=None)[0] == 3
    assert PAGE.read_bytes() == before


def test_ctrl_c_keeps_a_page_of_what_was_done(tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    command = [*GILPROBE, "run", "./mine.py", "--quick", "--repeat", "2"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        latest = time.monotonic() + 120
        while not (tmp_path / "ready").exists() and time.monotonic() < latest:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "gilprobe: interrupted\n")
    assert out.endswith("The report: gilprobe-run.html\n")
    assert '"id":"good"' in page_of(tmp_path / PAGE)


# Saved results


@pytest.fixture
def saved(tmp_path, result):
    path = tmp_path / "results.json"
    ResultSet(result.environment, (result,)).save(path)
    return str(path)


def test_saved_results_become_a_page_and_text(saved, capsys):
    assert main(["report", saved, "--html", "r.html"]) == 0
    assert '"id":"held-vs-released"' in page_of(Path("r.html"))
    assert main(["report", saved]) == 0
    assert "held-vs-released: The same loop twice" in capsys.readouterr().out


def test_what_results_can_not_be_written_as_is_told(saved, report, tmp_path, capsys):
    assert main(["report", saved, "--folded", "f"]) == 2
    report.save(tmp_path / "report.json")
    assert main(["report", saved, str(tmp_path / "report.json"), "--html", "r.html"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].endswith("results of `gilprobe run` need --html, got --folded")
    assert errors[1].startswith("gilprobe: error: results of `gilprobe run` can't be mixed with other files")
    assert list(Path().iterdir()) == []
