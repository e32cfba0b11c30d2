"""What the machine grants, read from trees as the kernel shows them."""

import os
from pathlib import Path

import pytest

from deployments.machine import Node, read_node

GIB = 2**30
CORES = float(len(os.sched_getaffinity(0)))
UNLIMITED = "9223372036854771712"  # how version 1 says that there is no limit


def machine(root: Path, cgroup: str, files: dict[str, str], memory_gib: int = 16, available_gib: int = 12) -> Node:
    """The node as a tree of a few files shows it."""
    meminfo = f"MemTotal: {memory_gib * 2**20} kB\nMemFree: 1 kB\nMemAvailable: {available_gib * 2**20} kB\n"
    for path, text in {"proc/meminfo": meminfo, "proc/self/cgroup": cgroup, **files}.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text + "\n")
    return read_node(root)


def test_this_machine_can_be_read() -> None:
    node = read_node()
    assert 0 < node.memory_available_bytes <= node.memory_bytes
    assert 0 < node.cores <= CORES
    assert 1 <= node.threads <= CORES


def test_without_limits_the_host_counts(tmp_path: Path) -> None:
    assert machine(tmp_path, "0::/", {}) == Node(16 * GIB, 12 * GIB, CORES)


def test_version_2_in_a_container(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/memory.max": str(4 * GIB),
        "sys/fs/cgroup/memory.current": str(3 * GIB),
        "sys/fs/cgroup/memory.stat": f"anon 5\ninactive_file {2 * GIB}\nactive_file 7",
        "sys/fs/cgroup/cpu.max": "50000 100000",
    }
    assert machine(tmp_path, "0::/", files) == Node(4 * GIB, 3 * GIB, 0.5)


def test_every_group_above_limits_too(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/a/b/memory.max": "max",
        "sys/fs/cgroup/a/memory.max": str(2 * GIB),
        "sys/fs/cgroup/a/memory.current": "0",
        "sys/fs/cgroup/a/b/cpu.max": "max 100000",
    }
    assert machine(tmp_path, "0::/a/b", files) == Node(2 * GIB, 2 * GIB, CORES)


def test_version_1_keeps_a_tree_for_each_controller(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/memory/box/memory.limit_in_bytes": str(3 * GIB),
        "sys/fs/cgroup/memory/box/memory.usage_in_bytes": str(2 * GIB),
        "sys/fs/cgroup/memory/box/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB}",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": UNLIMITED,
        "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "75000",
        "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
    }
    cgroup = "4:memory:/box\n3:cpu,cpuacct:/box\n1:name=systemd:/box\n0::/"
    assert machine(tmp_path, cgroup, files) == Node(3 * GIB, 2 * GIB, 0.75)


def test_a_path_of_the_host_leads_to_the_root_of_what_is_seen(tmp_path: Path) -> None:
    """Version 1 in a container without a namespace: the group's path is the host's, its files lie at the root."""
    files = {"sys/fs/cgroup/memory/memory.limit_in_bytes": str(GIB)}
    assert machine(tmp_path, "4:memory:/docker/0123", files).memory_bytes == GIB


@pytest.mark.parametrize(("cores", "threads"), [(0.1, 1), (1.0, 1), (1.4, 1), (1.5, 2), (2.0, 2), (7.9, 8)])
def test_threads_are_the_cores_rounded_and_at_least_one(cores: float, threads: int) -> None:
    assert Node(1, 1, cores).threads == threads
