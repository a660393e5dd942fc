"""Measures whether Prometheus shows what a recording of the same time has: real servers, a real Prometheus.

gunicorn with three workers serves a Flask application, uvicorn a FastAPI application (`monitored/apps.py`);
clients keep both busy. Prometheus scrapes both at two rates. At the end each worker's monitor and recording
stop together, and the counters in Prometheus must equal the sums of the recordings. Then a worker is killed:
no counter may go back. The exposition, the alert rules and the dashboard's queries are checked by promtool.

Needs gunicorn, flask, uvicorn, fastapi, prometheus-client, and Debian's package prometheus.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs" / "integrations"
RATES_S = (1, 3)
WORKERS = 3
METRICS = {
    "held_s": "gilprobe_gil_held_seconds_total",
    "contended_s": "gilprobe_gil_contended_seconds_total",
    "wait_sum_s": "gilprobe_gil_wait_seconds_sum",
    "wait_count": "gilprobe_gil_wait_seconds_count",
    "hold_count": "gilprobe_gil_hold_seconds_count",
}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def get(url: str) -> str:
    """Return what an address answers."""
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  # of our own making
        return answer.read().decode()


def until(what: str, holds: Callable[[], Any], limit_s: float = 240) -> Any:
    """Wait for something; return it."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            if found := holds():
                return found
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"waited {limit_s:g} s in vain for {what}")


class Stage:
    """The servers and Prometheus, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("flask", "fastapi", "prometheus")}
        self.processes: list[subprocess.Popen[bytes]] = []
        (folder / "multiproc").mkdir()

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a program, with its output in a file."""
        with (self.folder / f"{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=HERE / "monitored",
                env={**os.environ, "MONITORED": str(self.folder), **environment},
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def start_all(self) -> None:
        """Start both servers, then Prometheus."""
        python = [sys.executable, "-m"]
        flask = f"127.0.0.1:{self.ports['flask']}"
        gunicorn = ["gunicorn", "-w", str(WORKERS), "--threads", "4", "-b", flask, "apps:flask_app()"]
        self.gunicorn = self.start(
            *python, *gunicorn, PROMETHEUS_MULTIPROC_DIR=str(self.folder / "multiproc")
        )
        uvicorn = ["uvicorn", "--factory", "--port", str(self.ports["fastapi"]), "apps:fastapi_app"]
        self.start(*python, *uvicorn, "--log-level", "warning")
        jobs = [
            {
                "job_name": f"{name}-{rate}s",
                "scrape_interval": f"{rate}s",
                "metrics_path": "/metrics" if name == "flask" else "/metrics/",
                "static_configs": [{"targets": [f"127.0.0.1:{self.ports[name]}"]}],
            }
            for name in ("flask", "fastapi")
            for rate in RATES_S
        ]
        config = self.folder / "prometheus.yml"  # JSON is YAML
        config.write_text(json.dumps({"scrape_configs": jobs}))
        self.start(
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}",
            "--enable-feature=exemplar-storage",
        )

    def ask(self, query: str, path: str = "query", **more: str) -> list[dict[str, Any]]:
        """Ask Prometheus."""
        given = urllib.parse.urlencode({"query": query, **more})
        return json.loads(get(f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/{path}?{given}"))["data"]

    def value(self, query: str) -> float:
        """Return the one number that a query has; nan without any."""
        found = self.ask(query)["result"]  # type: ignore[call-overload]
        return float(found[0]["value"][1]) if len(found) == 1 else float("nan")

    def load(self, name: str, over: threading.Event, answered: list[int]) -> None:
        """Ask a server for work until it is over."""
        while not over.is_set():
            try:
                get(f"http://127.0.0.1:{self.ports[name]}/work/20000")
                answered.append(1)
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)

    def end(self) -> None:
        """End what was started."""
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait()


def compare(stage: Stage, name: str, workers: int) -> bool:
    """Stop a server's monitors and recordings; compare the counters in Prometheus with the recordings."""
    (stage.folder / f"{name}.over").touch()
    files = until(
        f"{workers} recordings of {name}",
        lambda: len(found := list(stage.folder.glob(f"{name}-*.json"))) == workers and found,
    )
    recorded = [json.loads(path.read_text()) for path in files]
    time.sleep(3 * max(RATES_S))  # so that the last scrape saw the last numbers
    good = True
    for key, metric in METRICS.items():
        want = sum(row[key] for row in recorded)
        for rate in RATES_S:
            got = stage.value(f'{metric}{{job="{name}-{rate}s"}}')
            off = abs(got - want) / want if want else abs(got)
            good &= off <= 0.001
            print(f"{name:8} {metric:40} each {rate} s: {got:14.6f}  recorded {want:14.6f}  {off:.4%}")
    return good


def queries(dashboard: Path) -> list[str]:
    """Return the queries of a dashboard, with its variables replaced."""
    panels = json.loads(dashboard.read_text())["panels"]
    return [
        re.sub(r"\$__rate_interval", "1m", target["expr"]).replace("$job", ".*")
        for panel in panels
        for target in panel["targets"]
    ]


def checked_files(stage: Stage) -> bool:
    """Check the exposition, the rules and the dashboard by promtool, and ask each query."""
    good = True
    for name in ("flask", "fastapi"):
        text = get(f"http://127.0.0.1:{stage.ports[name]}/metrics/".rstrip("/" if name == "flask" else ""))
        check = ["promtool", "check", "metrics"]
        done = subprocess.run(check, input=text.encode(), capture_output=True, check=False)
        print(f"{name}: promtool check metrics: {done.returncode} {done.stderr.decode().strip()}")
        good &= done.returncode == 0
    rules = [DOCS / "gilprobe.rules.yml", stage.folder / "dashboard.rules.yml"]
    found = queries(DOCS / "grafana-dashboard.json")
    recorded = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(found)]
    rules[1].write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))
    for path in rules:
        check = ["promtool", "check", "rules", str(path)]
        good &= subprocess.run(check, check=False).returncode == 0
    test = ["promtool", "test", "rules", str(HERE / "monitored" / "rules.test.yml")]
    good &= subprocess.run(test, check=False).returncode == 0
    for query in found:
        rows = len(stage.ask(query)["result"])  # type: ignore[call-overload]
        print(f"{rows:4} rows: {query}")
        good &= rows > 0
    return good


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30, help="of load (default: 30)")
    parser.add_argument("--clients", type=int, default=6, help="of each server (default: 6)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        try:
            return run(stage, given.seconds, given.clients)
        except BaseException:
            for log in sorted(stage.folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()[-3000:]}")
            raise
        finally:
            stage.end()


def run(stage: Stage, seconds: float, clients: int) -> int:
    """Run it on a stage; return the exit status."""
    stage.start_all()
    for name in ("flask", "fastapi"):
        until(name, lambda name=name: get(f"http://127.0.0.1:{stage.ports[name]}/work/1"))
    until("Prometheus", lambda: len(stage.ask("up == 1")["result"]) == 2 * len(RATES_S))  # type: ignore[call-overload]
    over, answered = threading.Event(), {"flask": [], "fastapi": []}
    threads = [
        threading.Thread(target=stage.load, args=(name, over, answered[name]))
        for name in answered
        for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    good = checked_files(stage)
    over.set()
    for thread in threads:
        thread.join()
    print({name: len(found) for name, found in answered.items()}, "requests answered")
    good &= compare(stage, "flask", WORKERS) & compare(stage, "fastapi", 1)
    exemplars = stage.ask(
        "gilprobe_gil_wait_seconds_bucket",
        "query_exemplars",
        start=str(time.time() - 600),
        end=str(time.time()),
    )
    print("an exemplar:", exemplars[0]["exemplars"][-1] if exemplars else None)
    before = stage.value(f'{METRICS["held_s"]}{{job="flask-1s"}}')
    victim = next(stage.folder.glob("flask-*.json")).stem.partition("-")[2]
    os.kill(int(victim), signal.SIGKILL)
    time.sleep(3 * max(RATES_S))
    after = stage.value(f'{METRICS["held_s"]}{{job="flask-1s"}}')
    resets = stage.value(f"sum(resets({METRICS['held_s']}[10m]))")
    print(f"a worker was killed: {before:.6f} -> {after:.6f} s, {resets:g} resets")
    good &= after >= before and resets == 0
    print("all as it must be" if good else "NOT as it must be")
    return not good


if __name__ == "__main__":
    sys.exit(main())
