"""What the machine is asked, against made-up /proc and /sys trees."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from gilprobe.measuring import host


def tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "100000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "300000 100000\n",
            },
            1.0,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/box\n3:memory:/x\n",
                "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000\n",
            },
            2.5,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/gone/below\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({"proc/self/cgroup": "0::/../../x\n", "sys/fs/cgroup/x/cpu.max": "50000 100000\n"}, 0.5),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 0\n"}, None),
    ],
)
def test_the_tightest_quota_of_either_cgroup_version_counts(tmp_path, files, quota):
    assert host.cgroup_quota(tree(tmp_path, files)) == quota


def test_usable_cores_are_at_least_one_and_at_most_what_affinity_allows(tmp_path):
    small = tree(tmp_path / "s", {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "1 100000\n"})
    large = tree(
        tmp_path / "l", {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "999900000 100000\n"}
    )
    assert host.usable_cores(small) == 1
    assert host.usable_cores(large) == len(host.affinity())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks here")
def test_an_affinity_mask_limits_the_usable_cores():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "import gilprobe; raise SystemExit(gilprobe.capabilities().cores)"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 1


def test_hardware_threads_of_one_core_count_once(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "affinity", lambda: (0, 1, 2))
    path = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    root = tree(tmp_path, {path.format(0): "0,1\n", path.format(1): "0,1\n", path.format(2): "2\n"})
    assert host.physical_cores(root) == 2
    assert host.physical_cores(tmp_path / "none") is None


def test_cpu_times_are_those_of_the_cores_we_may_use(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "affinity", lambda: (1,))
    root = tree(
        tmp_path,
        {"proc/stat": "cpu 9 9 9 9 9 9 9 9\ncpu0 9 9 9 9 9 9 9 9\ncpu1 100 0 50 200 50 0 0 25 0 0\n"},
    )
    times = host.cpu_times(root)
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    assert times is not None
    assert times.total_s == pytest.approx(425 * tick_s)
    assert times.busy_s == pytest.approx(150 * tick_s)
    assert times.steal_s == pytest.approx(25 * tick_s)


@pytest.mark.parametrize("text", ["", "intr 1 2 3\n", "cpu0 1 2\n"])
def test_a_foreign_proc_stat_is_no_cpu_times(tmp_path, text):
    assert host.cpu_times(tree(tmp_path, {"proc/stat": text})) is None


def test_the_environment_can_be_read_where_there_is_no_proc_and_no_load(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "_read", lambda _path: "")
    monkeypatch.delattr(os, "getloadavg", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    environment = host.read_environment()
    assert environment.load_average is None
    assert environment.cores >= 1
    assert host.cpu_model(tmp_path)


def test_capabilities_say_why_where_the_tracer_does_not_work(monkeypatch):
    able = host.capabilities()
    assert able.python == sys.version.split()[0]
    assert (able.tracer == "exact") == (able.tracer_reason == "")
    monkeypatch.setattr(host.tracer, "support", lambda: (False, "moon phase"))
    assert host.capabilities().tracer == "none"
    assert host.capabilities().tracer_reason == "moon phase"


def test_the_diagnosis_is_plain_data():
    document = host.diagnose().to_dict()
    assert document["schema"] == 1
    assert document["capabilities"]["cores"] <= document["cores_affinity"]
    assert document["clock_cost_ns"] >= 0


def test_the_largest_cache_of_a_core_is_the_last(tmp_path):
    core = f"sys/devices/system/cpu/cpu{host.affinity()[0]}/cache"
    files = {
        f"{core}/index{number}/size": size for number, size in enumerate(["32K\n", "1M\n", "32768K\n", "?"])
    }
    assert host.last_level_cache(tree(tmp_path, files)) == 32 << 20
    assert host.last_level_cache(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("files", "available"),
    [
        ({}, None),
        ({"proc/meminfo": "MemTotal: 100 kB\nMemAvailable:    60 kB\n"}, 60 << 10),
        (
            {
                "proc/meminfo": "MemAvailable:    60 kB\n",
                "proc/self/cgroup": "0::/a\n",
                "sys/fs/cgroup/a/memory.max": "50000\n",
                "sys/fs/cgroup/a/memory.current": "20000\n",
            },
            30_000,
        ),
        (
            {
                "proc/self/cgroup": "3:memory:/x\n4:cpu:/y\n",
                "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "50000\n",
                "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "60000\n",
            },
            0,
        ),
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": "max\n",
                "sys/fs/cgroup/memory.current": "20000\n",
            },
            None,
        ),
    ],
)
def test_available_memory_is_what_system_and_control_groups_leave(tmp_path, files, available):
    assert host.available_memory(tree(tmp_path, files)) == available


def test_interpreter_and_system_are_named_as_the_standard_library_does():
    """Which would start a process for the name of the system, in the program that is measured."""
    environment = host.read_environment()
    assert environment.implementation == platform.python_implementation()
    assert environment.compiler == platform.python_compiler()
    assert environment.machine == platform.machine()
    assert environment.platform == platform.platform()


def test_another_c_library_is_named_without_a_process(monkeypatch):
    """:mod:`platform` would start one, and look through the interpreter's file."""

    def none(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "confstr", none)
    monkeypatch.setattr(sys.implementation, "_multiarch", "x86_64-linux-musl", raising=False)
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.setattr(platform, "platform", None)
    system = os.uname()
    assert host.platform_name() == f"Linux-{system.release}-{system.machine}-with-musl"
    monkeypatch.setattr(sys.implementation, "_multiarch", "x86_64-linux-gnu")
    assert host.platform_name() == f"Linux-{system.release}-{system.machine}"
