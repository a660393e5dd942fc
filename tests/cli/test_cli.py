"""The command line as a user meets it: exit status, both streams, terminals, pipes, signals."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from processes import alive, children_of

import gilprobe
from gilprobe.cli import main
from gilprobe.results import ResultSet

pytestmark = pytest.mark.plain_python

GILPROBE = [sys.executable, "-P", "-m", "gilprobe"]
QUICK = ["run", "python-loop", "--threads", "1", "--repeat", "2"]


def gilprobe_(*arguments, **changes):
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    options = {
        "capture_output": True,
        "text": True,
        "timeout": 120,
        "check": False,
        "env": environment,
    } | changes
    return subprocess.run([*GILPROBE, *arguments], **options)


def on_terminal(*arguments, interrupt_after=None, columns=100, **environment):
    """Run with all streams on a pseudo-terminal; return the exit status and all that it was sent."""
    parent, child = pty.openpty()
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    env |= {"TERM": "xterm", "COLUMNS": str(columns)} | environment
    received = bytearray()
    seen = threading.Event()

    def listen():
        while True:
            try:
                data = os.read(parent, 4096)
            except OSError:  # EIO: nobody holds the other end any more
                return
            if not data:
                return
            received.extend(data)
            if interrupt_after is not None and interrupt_after.encode() in received:
                seen.set()

    with subprocess.Popen(
        [*GILPROBE, *arguments], stdin=child, stdout=child, stderr=child, env=env
    ) as process:
        os.close(child)
        listener = threading.Thread(target=listen)
        listener.start()
        if interrupt_after is not None:
            assert seen.wait(120)
            process.send_signal(signal.SIGINT)
        status = process.wait(timeout=120)
        listener.join(timeout=120)
    os.close(parent)
    return status, received.decode("utf-8")


def test_version_help_and_module_agree():
    assert gilprobe_("--version").stdout == f"gilprobe {gilprobe.__version__}\n"
    shown = gilprobe_("--help")
    assert shown.returncode == 0
    for command in ("run", "report", "list", "doctor"):
        assert command in shown.stdout
        assert gilprobe_(command, "--help").returncode == 0


def test_list_shows_the_catalogue():
    ran = gilprobe_("list")
    assert (ran.returncode, ran.stderr) == (0, "")
    for name in ("held-vs-released", "python-loop", "gil-mutex"):
        assert name in ran.stdout


def test_doctor_shows_what_works_as_text_and_as_json():
    ran = gilprobe_("doctor")
    assert (ran.returncode, ran.stderr) == (0, "")
    for word in (
        "interpreter",
        "build",
        "tracer",
        "clock",
        "by affinity",
        "by cgroup",
        "switch interval",
        "load average",
    ):
        assert word in ran.stdout
    document = json.loads(gilprobe_("doctor", "--json").stdout)
    assert document["capabilities"]["tracer"] == gilprobe.capabilities().tracer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "arguments are required: COMMAND"),
        (("fly",), "invalid choice: 'fly'"),
        (("run", "held-vs-relased"), "did you mean held-vs-released"),
        (("run", "--threads", "0"), "threads must be between 1 and 1024, got 0"),
        (("run", "--threads", "1,x"), "--threads must be integers separated by commas, got '1,x'"),
        (("run", "--threads", ""), "--threads must be integers"),
        (("run", "--threads", "5000"), "got 5000"),
        (("run", "--threads", "9" * 5000), "--threads must be integers"),
        (("run", "--repeat", "1"), "repeat must be between 2 and 1000, got 1"),
        (("run", "--repeat", "many"), "invalid int value: 'many'"),
        (("run", "--json", "/nowhere/at/all.json"), "--json must be a writable file"),
        (("run", "--json", "/"), "got the directory '/'"),
        (("doctor", "--loud"), "unrecognized arguments: --loud"),
    ],
)
def test_unusable_arguments_are_one_line_and_status_two(arguments, message):
    ran = gilprobe_(*arguments)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert re.fullmatch(r"gilprobe: error: [^\n]+\n", ran.stderr)
    assert message in ran.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_told_before_anything_is_measured(tmp_path):
    tmp_path.chmod(0o500)
    ran = gilprobe_(*QUICK, "--json", str(tmp_path / "r.json"))
    assert (ran.returncode, ran.stdout) == (2, "")


@pytest.mark.slow
def test_a_run_shows_a_table_and_writes_the_contracts_json(tmp_path):
    target = tmp_path / "r.json"
    ran = gilprobe_("run", "held-vs-released", "--threads", "2", "--repeat", "2", "--json", str(target))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "\x1b" not in ran.stdout
    for part in ("held-vs-released", "efficiency", "verdict", "released: min(T, N), 2 threads"):
        assert part in ran.stdout
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    check_document(json.loads(target.read_text()))
    assert ResultSet.load(target).scenarios[0].fact("speedup_held_2") > 0


def check_document(document):
    """Check the shape that scripts outside rely on."""
    assert document["schema"] == 1
    assert isinstance(document["environment"], dict)
    for scenario in document["scenarios"]:
        assert {"id", "title", "arms", "facts", "laws", "warnings"} <= set(scenario)
        for arm in scenario["arms"]:
            assert {"name", "threads", "unit", "median", "low", "high", "samples"} == set(arm)
            assert arm["low"] <= arm["median"] <= arm["high"]
        for fact in scenario["facts"]:
            assert {"name", "value", "unit"} == set(fact)
        for law in scenario["laws"]:
            assert {"text", "expected", "measured", "verdict"} == set(law)
            assert law["verdict"] in ("holds", "does not hold", "not testable here")


def test_json_to_standard_output_stands_there_alone():
    ran = gilprobe_(*QUICK, "--json", "-")
    assert (ran.returncode, ran.stderr) == (0, "")
    document = json.loads(ran.stdout)
    check_document(document)
    assert [scenario["id"] for scenario in document["scenarios"]] == ["python-loop"]


def test_an_existing_file_survives_an_unusable_argument(tmp_path):
    target = tmp_path / "r.json"
    target.write_text("earlier")
    assert gilprobe_("run", "nonsense", "--json", str(target)).returncode == 2
    assert target.read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_a_reader_that_leaves_causes_no_complaint():
    with subprocess.Popen([*GILPROBE, *QUICK], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(timeout=120) == 0
    assert errors == b""


@pytest.mark.slow
def test_a_reader_that_leaves_does_not_cost_the_file(tmp_path):
    target = tmp_path / "r.json"
    command = [*GILPROBE, *QUICK, "--json", str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.wait(timeout=120) == 0
    check_document(json.loads(target.read_text()))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_an_error_not_a_traceback():
    with Path("/dev/full").open("w") as full:
        ran = gilprobe_("list", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert ran.returncode == 2
    assert re.fullmatch(r"gilprobe: error: [^\n]*No space left[^\n]*\n", ran.stderr)


def test_a_closed_standard_output_is_no_problem():
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *GILPROBE, "list"]
    ran = subprocess.run(command, stderr=subprocess.PIPE, timeout=120, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_an_ascii_only_output_gets_ascii():
    ran = gilprobe_("list", env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert ran.returncode == 0
    assert ran.stdout.isascii()


def wait_for_workers(process):
    """Wait until a process that it has started has threads: it measures. Return that one's number."""
    for _ in range(1200):
        time.sleep(0.1)
        for child in children_of(process.pid):
            tasks = Path(f"/proc/{child}/task")
            if tasks.exists() and len(list(tasks.iterdir())) > 1:
                return child
        assert process.poll() is None, "it has ended before it measured"
    raise AssertionError("no threads within 120 s")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc here")
@pytest.mark.parametrize("name", ["held-vs-released", "python-loop"])
def test_ctrl_c_leaves_one_line_and_status_130_promptly(name):
    command = [*GILPROBE, "run", name, "--repeat", "1000", "--threads", "1,4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        worker = wait_for_workers(process)
        time.sleep(0.3)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=120)
    assert not alive(worker)
    assert process.returncode == 130
    assert (output, errors) == ("", "gilprobe: interrupted\n")
    assert time.monotonic() - begun < 60


@pytest.mark.slow
def test_ctrl_c_keeps_the_scenarios_that_were_done(tmp_path):
    target = tmp_path / "r.json"
    command = [
        *GILPROBE,
        "run",
        "python-loop",
        "gil-mutex",
        "--threads",
        "1",
        "--repeat",
        "10",  # the second lasts much longer than this test needs to interrupt it
        "--json",
        str(target),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "python-loop" in line:
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors == f"gilprobe: 1 of 2 scenarios are in {target}\ngilprobe: interrupted\n"
    assert [scenario.id for scenario in ResultSet.load(target).scenarios] == ["python-loop"]


@pytest.mark.slow
def test_a_terminal_gets_colour_and_a_bar_that_is_gone_in_the_end():
    status, text = on_terminal("run", "python-loop", "--threads", "1,2", "--repeat", "4")
    assert status == 0
    assert "countdown, 2 threads" in text
    assert "\x1b[1m" in text
    assert "\x1b[?25h" in text  # the cursor is shown again


def test_no_color_and_dumb_terminals_are_respected():
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        status, text = on_terminal("list", **environment)
        assert status == 0
        assert "\x1b" not in text
    assert "\x1b" in on_terminal("list")[1]


def test_what_is_short_gets_no_bar():
    _, text = on_terminal("list")
    assert not re.search(r"\d%", text)


def test_ctrl_c_while_the_bar_is_shown_leaves_a_clean_line():
    status, text = on_terminal("run", "gil-mutex", "--repeat", "1000", interrupt_after="gil-mutex:")
    assert status == 130
    assert text.endswith("gilprobe: interrupted\r\n")
    assert "Traceback (most recent call last)" not in text
    assert text.count("\x1b[?25h") >= text.count("\x1b[?25l")


def test_main_returns_the_status_and_leaves_the_process_alone(capsys):
    assert main(["list"]) == 0
    assert main(["run", "nonsense"]) == 2
    assert main(["--version"]) == 0
    assert "python-loop" in capsys.readouterr().out


def test_unsupported_is_status_three(monkeypatch, capsys):
    from gilprobe.errors import UnsupportedError
    from gilprobe.measuring import host

    def refuse():
        raise UnsupportedError("not on this moon")

    monkeypatch.setattr(host, "diagnose", refuse)
    assert main(["doctor"]) == 3
    assert capsys.readouterr().err == "gilprobe: error: not on this moon\n"
