r"""Measures whether a planner's calls hold up decisions: a call takes 5 s here.

    python -m experiments.benchmark_agent [--presets=tiny,vale] \
      [--checkpoint=DIR] [--json=FILE]

A decision begins with a row in the memory of the host and ends with the action
there: the goal judged, the planner's driver, posterior, goal and actor. Rows
are noise with progress every two seconds, so that a call is always under way,
and come 60 times a second, as the screen's frames.
The planner is experiments.serve_planner in a process of its own, which answers
after --slow_s; requests, screenshots and replies go over real HTTP. The same
decisions without a planner are timed in turns with those, so that what else
the machine does meets both. A decision is late beyond 16.7 ms, the time of a
frame. It is late by a call if a request goes out or an answer comes in there,
or shortly before, and it would have been in time without the driver's own
processor time.
"""

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from data_tools.system import processors
from experiments.machine import provenance
from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import json_store
from experiments.speed import acting_parts

WANTED = {"decisions_per_s": 60.0, "p99_ms": 16.7, "late_by_a_call": 0}
_LATE_MS = 16.7
_TURN = 200  # decisions of one kind before those of the other
_WARM_UP = 20
_PROGRESS_EVERY = 120  # rows between story flags: each asks
_ROW_S = 1 / 60
_AT_CALL = 3  # decisions after a request or an answer that count as at it

_PRESETS = cli.string("presets", "tiny,vale", "Which, comma-separated.")
_CHECKPOINT = cli.string(
  "checkpoint", "", "Run directory of a policy that reads goals, instead."
)
_DECISIONS = cli.integer("decisions", 3000, "Timed, of each kind.")
_SLOW_S = cli.integer("slow_s", 5, "Seconds that a call takes.")
_NOTE = cli.string("note", "", "Goes into the file, such as what else ran.")
_JSON = cli.string("json", "", "Also write the results to this file.")

_HEADER = (
  f"{'model':<12} {'planner':<8} {'p50 ms':>7} {'p99 ms':>7} {'CPU ms':>7} "
  f"{'per s':>7} {'late':>6} {'by a call':>9} {'driver CPU':>10} {'calls':>6}"
)


@dataclasses.dataclass
class _Times:
  """Milliseconds of decisions."""

  driver: list[float] = dataclasses.field(default_factory=list)
  driver_cpu: list[float] = dataclasses.field(default_factory=list)
  policy: list[float] = dataclasses.field(default_factory=list)
  at_call: list[bool] = dataclasses.field(default_factory=list)
  process_s: float = 0.0  # processor time of all threads


def main() -> None:
  """Times every preset with and without a planner, and prints the table."""
  decisions = _DECISIONS.value
  if decisions < 2 * _TURN:
    raise ValueError(f"--decisions={decisions}: expected at least {2 * _TURN}")
  if _SLOW_S.value < 1:
    raise ValueError(f"--slow_s={_SLOW_S.value}: expected at least 1")
  names = [_CHECKPOINT.value]
  if not _CHECKPOINT.value:
    names = acting_parts.preset_names(_PRESETS.value or "")
  import jax

  print(
    f"{jax.devices()[0].device_kind}, {processors.available()} processors, a "
    f"call takes {_SLOW_S.value} s\n{_HEADER}\n{'-' * len(_HEADER)}",
    flush=True,
  )
  load_before = os.getloadavg()
  rows = []
  with _server(_SLOW_S.value) as url:
    for name in names:
      agent, critic = _agent(name)
      for row in measure(agent, critic, url, decisions):
        rows.append({"model": agent.config.preset, **row})
        print(line(rows[-1]), flush=True)
  for text in verdicts(rows):
    print(text)
  if _JSON.value:
    result = {
      "command": cli.command_line(),
      "commit": provenance.commit(),
      "device": jax.devices()[0].device_kind,
      "cpu_count": processors.available(),
      "load_average": {"before": load_before, "after": os.getloadavg()},
      "versions": provenance.versions(),
      "note": _NOTE.value,
      "wanted": WANTED,
      "call_s": _SLOW_S.value,
      "rows": rows,
    }
    json_store.write_json(pathlib.Path(_JSON.value), result)
    print(f"wrote {_JSON.value}")


def measure(
  agent: inputs.Agent, critic: Any, url: str, decisions: int
) -> list[dict[str, Any]]:
  """Times decisions of one agent with a planner, and without.

  Args:
    agent: whose policy reads goals.
    critic: of that policy, by which the planner is told how near goals are.
    url: of the planner.
    decisions: of each kind that are timed.

  Returns:
    JSON-ready, by kind: milliseconds `p50_ms p99_ms most_ms`, `cpu_ms` of
    processor time of all threads on average; of the driver alone
    `driver_p99_ms`, of its processor time `driver_cpu_p99_ms
    driver_cpu_most_ms`; `decisions_per_s`; decisions that are `late` and
    `late_by_a_call`, those at calls (`at_calls`) with their p99 and how many of
    them are late; `calls` that were answered.
  """
  from experiments.playing import dual_agent
  from experiments.playing import planners
  from pokedreamer_jax.planner import budget
  from pokedreamer_jax.planner import driver as driver_lib
  from pokedreamer_jax.planner import knowledge

  rows = _rows()
  limits = budget.Limits(calls_a_minute=1000)
  choice = planners.choose("url", url, "", limits=limits)
  with tempfile.TemporaryDirectory() as folder:
    driver: driver_lib.Driver = planners.make(
      *(choice, knowledge.Knowledge(), {}, pathlib.Path(folder) / "t", {}),
      lambda line: print(f"  {line}", flush=True),
    )
    duals = {
      "none": dual_agent.DualAgent(agent, [], [0]),
      "slow": dual_agent.DualAgent(agent, [driver], [0], False, critic),
    }
    times = {name: _Times() for name in duals}
    steps = dict.fromkeys(duals, 0)
    for name in duals:  # compiles
      steps[name] = _decide(duals[name], rows, 0, _WARM_UP, _Times(), None)
    while len(times["slow"].policy) < decisions:
      for name, dual in duals.items():
        asked = driver if name == "slow" else None
        steps[name] = _decide(
          dual, rows, steps[name], _TURN, times[name], asked
        )
    driver.close()
    done = driver.summary()["done"]
  calls = {"none": 0, "slow": done.get("applied", 0) + done.get("passed", 0)}
  return [
    {"planner": name, "calls": calls[name], **_numbers(times[name])}
    for name in duals
  ]


def _decide(
  dual: Any,
  rows: list[dict[str, np.ndarray]],
  start: int,
  count: int,
  times: _Times,
  driver: Any,
) -> int:
  """Some decisions in a row; returns the number of the next."""
  playing, quiet, before = np.ones(1, bool), _AT_CALL, None
  began_s = time.process_time()
  next_s = time.perf_counter()
  for t in range(start, start + count):
    time.sleep(max(0.0, next_s - time.perf_counter()))
    next_s = max(next_s + _ROW_S, time.perf_counter())
    row = dict(rows[t % len(rows)])
    row["is_first"] = np.array([t == 0])
    flags = min(t // _PROGRESS_EVERY, np.iinfo(np.uint16).max)
    row["event_flags"] = np.array([flags], row["event_flags"].dtype)
    decision = dual.decide(row, playing)
    times.driver.append(1e3 * decision.planner_s)
    times.driver_cpu.append(1e3 * decision.planner_cpu_s)
    times.policy.append(1e3 * decision.policy_s)
    if driver is not None:
      summary = driver.summary()
      now = (sum(summary["asked"].values()), sum(summary["done"].values()))
      quiet = 0 if before not in (None, now) else quiet + 1
      before = now
    times.at_call.append(quiet < _AT_CALL)
  times.process_s += time.process_time() - began_s
  return start + count


def _numbers(times: _Times) -> dict[str, Any]:
  driver, cpu = np.array(times.driver), np.array(times.driver_cpu)
  whole, at = driver + np.array(times.policy), np.array(times.at_call)
  p50, p99 = np.percentile(whole, [50, 99])
  late = whole > _LATE_MS
  at_p99 = float(np.percentile(whole[at], 99)) if at.any() else None
  return {
    "decisions": len(whole),
    "p50_ms": float(p50),
    "p99_ms": float(p99),
    "most_ms": float(whole.max()),
    "cpu_ms": 1e3 * times.process_s / len(whole),
    "decisions_per_s": 1e3 * len(whole) / float(whole.sum()),
    "driver_p99_ms": float(np.percentile(driver, 99)),
    "driver_cpu_p99_ms": float(np.percentile(cpu, 99)),
    "driver_cpu_most_ms": float(cpu.max()),
    "late": int(late.sum()),
    "late_by_a_call": int((late & at & (whole - cpu <= _LATE_MS)).sum()),
    "at_calls": int(at.sum()),
    "at_calls_p99_ms": at_p99,
    "at_calls_late": int((late & at).sum()),
  }


def line(row: dict[str, Any]) -> str:
  """A row of the table for a person."""
  return (
    f"{row['model']:<12} {row['planner']:<8} {row['p50_ms']:>7.2f} "
    f"{row['p99_ms']:>7.2f} {row['cpu_ms']:>7.2f} "
    f"{row['decisions_per_s']:>7.1f} {row['late']:>6} "
    f"{row['late_by_a_call']:>9} {row['driver_cpu_most_ms']:>10.2f} "
    f"{row['calls']:>6}"
  )


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
  """Whether decisions are as fast as wanted under a slow planner, by model."""
  found = []
  for row in rows:
    if row["planner"] != "slow":
      continue
    met = (
      row["decisions_per_s"] >= WANTED["decisions_per_s"]
      and row["p99_ms"] <= WANTED["p99_ms"]
      and row["late_by_a_call"] <= WANTED["late_by_a_call"]
    )
    found.append(
      f"{row['model']}: {'fast enough' if met else 'NOT fast enough'} under a "
      f"planner that takes seconds, wanted {WANTED['decisions_per_s']:.0f} "
      f"decisions/s, a p99 of {WANTED['p99_ms']} ms, none late by a call"
    )
  return found


def _rows() -> list[dict[str, np.ndarray]]:
  """Rows of an overworld that shows noise, with somebody in the party."""
  rows = acting_parts.rows(1)
  for row in rows:
    row["has_control"][:] = True
    row["party_size"][:] = 1
    row["visited_maps"][:, 0] = 0b10  # map 1 is no new one
    for name, value in (("hp", 20), ("max_hp", 20), ("level", 5)):
      row[f"party_{name}"][:, 0] = value
  return rows


def _agent(name: str) -> tuple[inputs.Agent, Any]:
  """Agent and critic, of a run directory or of a preset."""
  if _CHECKPOINT.value:
    inputs.check_kind(name, agent=True)
    return inputs.load_player(name), inputs.load_critic(name)
  agent = acting_parts.fresh_agent(name, acting_parts.GOALS)
  return agent, acting_parts.fresh_critic(agent.config)


@contextlib.contextmanager
def _server(slow_s: int):
  """A slow planner in a process of its own; yields its address."""
  command = [sys.executable, "-m", "experiments.serve_planner", "--port=0"]
  command += ["--fault=slow", f"--slow_s={slow_s}"]
  process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
  try:
    assert process.stdout is not None
    flag, _, url = process.stdout.readline().strip().partition("=")
    if flag != "--planner_url":
      raise ValueError("serve_planner did not start, its line above says why")
    yield url
  finally:
    process.terminate()
    process.wait()


if __name__ == "__main__":
  cli.run_main(main)
