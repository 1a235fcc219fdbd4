r"""Measures how long a policy takes to decide: p50, p99, decisions per second.

    python -m experiments.benchmark_acting [--presets=tiny,vale] \
      [--checkpoint=DIR] [--json=FILE]

A decision begins with a frame and the memory variables in the memory of the
host and ends with the action there: encoding, posterior, actor and the draw in
one jitted step, for one player and for several side by side. Live play at the
screen's 60 frames a second wants 60 decisions a second and a p99 of at most
16.7 ms. Parameters are fresh, which changes no shape, or those of a clone or a
policy. Frames are noise: what is done does not depend on them. `CPU` is the
processor time of all threads, which other jobs on the machine change least.
"""

import os
import pathlib
from typing import Any

from data_tools.system import processors
from experiments.machine import provenance
from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import json_store
from experiments.speed import acting_parts

WANTED = {"decisions_per_s": 60.0, "p99_ms": 16.7}  # of one player
_HEADER = (
  f"{'model':<12} {'players':>7} {'p50 ms':>8} {'p99 ms':>8} {'most ms':>8} "
  f"{'decisions/s':>11} {'CPU ms':>7} {'compile':>8}"
)

_PRESETS = cli.string("presets", "tiny,vale", "Which, comma-separated.")
_SET = cli.repeated("set", "Overrides a field in all of them (repeatable).")
_CHECKPOINT = cli.string(
  "checkpoint", "", "Run directory of a clone or a policy, in their place."
)
_PLAYERS = cli.string("players", "1,8,24", "Side by side, comma-separated.")
_DECISIONS = cli.integer("decisions", 1000, "Timed decisions of each row.")
_GREEDY = cli.boolean("greedy", False, "Take the most likely action.")
_NOTE = cli.string("note", "", "Goes into the file, such as what else ran.")
_JSON = cli.string("json", "", "Also write the results to this file.")


def main() -> None:
  """Times every preset and number of players, and prints the table."""
  sizes = _sizes(_PLAYERS.value or "")
  decisions = _DECISIONS.value or 0
  if decisions < 100:
    raise ValueError(
      f"--decisions={decisions}: expected at least 100, or p99 means nothing"
    )
  names = [_CHECKPOINT.value]
  if not _CHECKPOINT.value:
    names = acting_parts.preset_names(_PRESETS.value or "", _SET.value or ())
  import jax

  # A cached program would hide the compile time that this prints.
  jax.config.update("jax_enable_compilation_cache", False)
  print(
    f"{jax.devices()[0].device_kind}, jax {jax.__version__}, "
    f"{processors.available()} processors, {decisions} decisions a row\n"
    f"{_HEADER}\n{'-' * len(_HEADER)}",
    flush=True,
  )
  load_before = os.getloadavg()
  rows = []
  for name in names:
    agent = _agent(name)
    for size in sizes:
      row = acting_parts.measure(agent, size, decisions, _GREEDY.value)
      rows.append({"model": agent.config.preset, **row})
      print(line(rows[-1]), flush=True)
  for text in verdicts(rows):
    print(text)
  if _JSON.value:
    path = pathlib.Path(_JSON.value)
    result = {
      "command": cli.command_line(),
      "commit": provenance.commit(),
      "device": jax.devices()[0].device_kind,
      "cpu_count": processors.available(),
      "load_average": {"before": load_before, "after": os.getloadavg()},
      "versions": provenance.versions(),
      "note": _NOTE.value,
      "wanted": WANTED,
      "greedy": _GREEDY.value,
      "rows": rows,
    }
    json_store.write_json(path, result)
    print(f"wrote {path}")


def line(row: dict[str, Any]) -> str:
  """A row of the table for a person."""
  return (
    f"{row['model']:<12} {row['players']:>7} {row['p50_ms']:>8.2f} "
    f"{row['p99_ms']:>8.2f} {row['most_ms']:>8.2f} "
    f"{row['decisions_per_s']:>11.1f} {row['cpu_ms']:>7.2f} "
    f"{row['compile_s']:>6.1f} s"
  )


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
  """Whether one player decides as fast as wanted, by model."""
  found = []
  for row in rows:
    if row["players"] == 1:
      fast = row["decisions_per_s"] >= WANTED["decisions_per_s"]
      met = fast and row["p99_ms"] <= WANTED["p99_ms"]
      found.append(
        f"{row['model']}: {'fast enough' if met else 'NOT fast enough'} for "
        f"{WANTED['decisions_per_s']:.0f} decisions/s with a p99 of "
        f"{WANTED['p99_ms']} ms"
      )
  return found


def _agent(name: str) -> inputs.Agent:
  """Of a run directory, or of a preset with fresh parameters."""
  if _CHECKPOINT.value:
    inputs.check_kind(name, agent=True)
    return inputs.load_player(name)
  return acting_parts.fresh_agent(name, _SET.value or ())


def _sizes(text: str) -> list[int]:
  sizes = text.split(",")
  if not all(size.strip().isdigit() and int(size) > 0 for size in sizes):
    raise ValueError(f"--players: {text!r}, expected such as 1,8,24")
  return [int(size) for size in sizes]


if __name__ == "__main__":
  cli.run_main(main)
