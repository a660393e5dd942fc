"""Measure how long it takes to attach to a process in each state, and what the process notices.

``python benchmarks/attach.py [--repeat N]``: for each state the time from the call to the first line of code
in the process, for how long the one thread stood still, and the longest gap of a thread that notes the time
all along, beside that of the same time without an attachment.

``python benchmarks/attach.py --again N``: attach to a server that is busy, record it, detach, N times, while
clients send it requests; count those that are lost.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from gilprobe.attaching import inject
from gilprobe.programs.program_recording import RecordOptions

LIMIT_S = 60.0
STATES = {
    "busy alone": "while True: sum(range(1000))",
    "busy, two others too": """
import threading
def work():
    while True: sum(range(1000))
for _ in range(2): threading.Thread(target=work, daemon=True).start()
work()""",
    "asyncio in epoll": "import asyncio; asyncio.run(asyncio.sleep(1000))",
    "time.sleep": "import time; time.sleep(1000)",
    "Event.wait": "import threading; threading.Event().wait()",
    "join, a worker busy": """
import threading
def work():
    while True: sum(range(1000))
threading.Thread(target=work, daemon=True).start()
threading.enumerate()[-1].join()""",
    "accept": "import socket; socket.create_server(('127.0.0.1', 0)).accept()",
}
# Notes the longest time between two of its turns, from one line that it reads to the next.
WATCHED = """
import select, sys, time
print('ready', flush=True)
while True:
    sys.stdin.readline()
    longest, last = 0.0, time.perf_counter()
    while not select.select([0], [], [], 0)[0]:
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    sys.stdin.readline()
    print(longest, flush=True)
"""
SERVER = """
import socket, threading
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
def serve(connection):
    while got := connection.recv(64):
        sum(range(2000))
        connection.sendall(got)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


@contextlib.contextmanager
def program(code):
    """Run a program as long as the block."""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def record(pid, folder, duration_s):
    """Attach, record, and return what the attachment cost."""
    order = {
        "path": f"{folder}/recording",
        "options": RecordOptions(stacks=True).to_text(),
        "duration_s": duration_s,
    }
    with inject(pid, "gilprobe.attached.recording", "record", order, LIMIT_S) as injected:
        injected.result(LIMIT_S)  # its sign that it records
        injected.result(LIMIT_S)
        return injected


def attachments(code, folder, repeat):
    """Attach to new processes in one state."""
    for _ in range(repeat):
        with program(code) as child:
            time.sleep(0.5)  # until it is in that state
            yield record(child.pid, folder, 0.01)


def longest_gap_s(folder, *, attached):
    """Return the longest gap of a busy thread in a second, with or without an attachment."""
    with program(WATCHED) as child:
        child.stdout.readline()
        child.stdin.write("\n")
        child.stdin.flush()
        time.sleep(0.2)
        if attached:
            record(child.pid, folder, 0.01)
        time.sleep(0.5)
        child.stdin.write("\n\n")
        child.stdin.flush()
        return float(child.stdout.readline())


def spread_ms(seconds):
    """Return the median and the extremes."""
    ms = sorted(1e3 * each for each in seconds)
    return f"{statistics.median(ms):8.2f} ({ms[0]:.2f} to {ms[-1]:.2f})"


def measure(repeat):
    """Print the table of states, and the gaps."""
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'main thread':22} {'attached after, ms':>30} {'one thread stood still, ms':>30}")
        for state, code in STATES.items():
            seen = list(attachments(code, folder, repeat))
            took, stopped = ([getattr(each, name) for each in seen] for name in ("took_s", "stopped_s"))
            print(f"{state:22} {spread_ms(took):>30} {spread_ms(stopped):>30}", flush=True)
        for name, attached in (("attached", True), ("left alone", False)):
            gaps = [longest_gap_s(folder, attached=attached) for _ in range(repeat)]
            print(f"longest gap of a busy thread, {name}, ms: {spread_ms(gaps)}")


def client(port, stop, counts):
    """Send requests and count the answers."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while not stop.is_set():
            connection.sendall(b"x" * 64)
            counts["sent"] += 1
            left = 64
            while left:
                got = connection.recv(left)
                if not got:
                    return
                left -= len(got)
            counts["answered"] += 1


def again(times):
    """Attach and detach many times, and print what became of the requests and the process."""
    with program(SERVER) as child, tempfile.TemporaryDirectory() as folder:
        port = int(child.stdout.readline())
        stop, counts = threading.Event(), [{"sent": 0, "answered": 0} for _ in range(3)]
        clients = [threading.Thread(target=client, args=(port, stop, each)) for each in counts]
        for each in clients:
            each.start()
        took = []
        for number in range(times):
            took.append(record(child.pid, folder, 0.005).took_s)
            if number in (9, times - 1):
                print(f"after {number + 1}: {footprint(child.pid)}", flush=True)
        stop.set()
        for each in clients:
            each.join()
        sent, answered = (sum(each[name] for each in counts) for name in ("sent", "answered"))
        print(f"{times} times attached and detached, each after ms: {spread_ms(took)}")
        print(f"requests: {sent} sent, {sent - answered} lost; the server runs: {child.poll() is None}")


def footprint(pid):
    """Return what a process uses."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return f"{status['VmRSS'].strip()} resident, {status['Threads'].strip()} threads, {files} open files"


def main():
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=10, help="attachments for each state")
    parser.add_argument("--again", type=int, help="attach to one server so many times")
    arguments = parser.parse_args()
    if arguments.again:
        again(arguments.again)
    else:
        measure(arguments.repeat)


if __name__ == "__main__":
    main()
