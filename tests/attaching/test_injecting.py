"""What :func:`gilprobe.attaching.inject` does to a process in each state, and what it leaves behind."""

from __future__ import annotations

import sys

import pytest
from side_by_side import FREE_THREADED

from gilprobe.attaching import inject
from gilprobe.attaching.target import ProcessGoneError
from gilprobe.errors import GilProbeError
from gilprobe.programs.program_recording import RecordOptions

LIMIT_S = 120  # there only so that a hang ends

STATES = {
    "reads a pipe": "print('ready', flush=True); sys.stdin.readline()",
    "epoll": """
import select
poll = select.epoll()
poll.register(0, select.EPOLLIN)
print('ready', flush=True)
assert [file for file, _ in poll.poll()] == [0]  # also EPOLLHUP, if the end has come, too
""",
    "select": "import select; print('ready', flush=True); assert select.select([0], [], [])[0] == [0]",
    "sleeps": """
import time, threading
told = []
thread = threading.Thread(target=lambda: told.append(sys.stdin.readline()))
thread.start()
print('ready', flush=True)
while not told:
    time.sleep(0.05)
""",
    "joins": """
import threading
thread = threading.Thread(target=sys.stdin.readline)
thread.start()
print('ready', flush=True)
thread.join()
""",
    "is busy, with no other thread": """
import select
print('ready', flush=True)
while not select.select([0], [], [], 0)[0]:
    sum(number * number for number in range(20000))
""",
    "is busy, with others that are, too": """
import select, threading
ended = []
def work():
    while not ended:
        sum(number * number for number in range(2000))
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
print('ready', flush=True)
sys.stdin.readline()
ended.append(True)
for thread in threads:
    thread.join()
""",
}
NEW = """
new = sys.modules.keys() - before
print('gilprobe' in new, sorted(new & {'json', 're'}))
"""


def call(process, module, function, **arguments):
    with inject(process.pid, module, function, arguments, LIMIT_S) as injected:
        return injected.result(LIMIT_S)


@pytest.mark.parametrize("state", STATES)
def test_a_process_in_any_state_runs_a_function_and_goes_on_as_before(start, state):
    process = start(
        STATES[state] + "\nprint('done', [name for name in sys.path if 'site-packages' in name], flush=True)"
    )
    for _ in range(3):
        assert call(process, "os", "getpid") == process.pid
    assert process.end() == (0, "done []\n", "")


def test_a_recording_imports_no_json_into_the_process(start, tmp_path):
    process = start("before = set(sys.modules)\n" + STATES["reads a pipe"] + NEW)
    order = {"path": f"{tmp_path}/out", "options": RecordOptions().to_text(), "duration_s": 0}
    with inject(process.pid, "gilprobe.attached.recording", "record", order, LIMIT_S) as injected:
        assert injected.result(LIMIT_S) is injected.result(LIMIT_S) is None  # it has begun, it has ended
    assert process.end() == (0, "True []\n", "")


def test_arguments_and_results_travel(start):
    process = start()
    assert call(process, "json", "dumps", obj=["é", 1.5, None]) == '["\\u00e9", 1.5, null]'


@pytest.mark.parametrize(
    ("module", "function", "told"),
    [
        ("no_such_module", "function", "No module named 'no_such_module'"),
        ("os", "no_such_function", "no_such_function"),
        ("operator", "neg", "TypeError"),
        ("sys", "exit", "SystemExit"),
    ],
)
def test_what_goes_wrong_in_the_process_is_an_error_here_and_no_output_there(start, module, function, told):
    process = start()
    with pytest.raises(GilProbeError, match=f"in process {process.pid}: .*{told}"):
        call(process, module, function)
    assert process.end() == (0, "", "")


def test_a_process_that_ends_meanwhile_is_told(start):
    process = start()
    with inject(process.pid, "signal", "pause", {}, LIMIT_S) as injected:
        process.kill()
        with pytest.raises(ProcessGoneError):
            injected.result(LIMIT_S)
    with pytest.raises(ProcessGoneError, match="must be a running process"):
        call(process, "os", "getpid")


def test_an_attachment_leaves_no_garbage_for_the_collector(start):
    process = start("import gc\ngc.disable()\n" + STATES["reads a pipe"])
    found = [call(process, "gc", "collect") for _ in range(3)]
    # From 3.14 on only the collector frees code without a GIL: the next attachment finds the last one's.
    expected = found[-2] if FREE_THREADED and sys.version_info >= (3, 14) else 0
    assert found[-1] == expected


def test_the_turns_of_threads_are_as_long_as_before(start):
    process = start("sys.setswitchinterval(0.25)\n" + STATES["reads a pipe"])
    assert call(process, "sys", "getswitchinterval") == 0.25


MAIN_THREAD = """
sys.stdin.readline()
import os, threading
main = threading.main_thread()
print(main is threading.current_thread(), main.is_alive(), main.native_id == os.getpid(), flush=True)
"""


def test_the_main_thread_stays_the_main_one_and_the_end_waits_for_nobody(start):
    process = start(f"print('ready', flush=True); {MAIN_THREAD.strip()}")
    with inject(process.pid, "signal", "pause", {}, LIMIT_S):
        assert process.end() == (0, "True True True\n", "")
