import os

import pytest

from data_tools.system import processors


@pytest.fixture(autouse=True)
def _a_large_node(monkeypatch):
  monkeypatch.setattr(os, "cpu_count", lambda: 64)
  monkeypatch.setattr(
    os, "sched_getaffinity", lambda process: set(range(16)), raising=False
  )


def _write(path, text):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)


def test_affinity_counts_and_not_the_node(tmp_path):
  assert processors.available(tmp_path) == 16


@pytest.mark.parametrize(
  ("quota", "count"),
  [("max 100000", 16), ("400000 100000", 4), ("50000 100000", 1), ("?", 16)],
)
def test_the_quota_of_a_container_counts(tmp_path, quota, count):
  _write(tmp_path / "sys/fs/cgroup/cpu.max", quota)
  assert processors.available(tmp_path) == count


def test_the_quota_of_a_job_within_the_machine_counts(tmp_path):
  _write(tmp_path / "proc/self/cgroup", "0::/slurm/job_7/step_0\n")
  _write(tmp_path / "sys/fs/cgroup/slurm/job_7/cpu.max", "300000 100000")
  assert processors.available(tmp_path) == 3


def test_the_quota_of_the_older_kind_counts(tmp_path):
  _write(tmp_path / "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000")
  _write(tmp_path / "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
  assert processors.available(tmp_path) == 2
