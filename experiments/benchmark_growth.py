"""Measures how cost grows: with records, with dreams, and what verbs begin at.

    python -m experiments.benchmark_growth [--record_steps=10000,100000] \\
      [--dreams=16,64,256,1024,4096] [--parts=data,dreams,verbs] [--json=FILE]

Records are synthetic, written to a temporary directory and removed; a step
takes 380 bytes, 2.5 times as many as a played one. Each curve has the exponent
of the power law that fits it best, and that between its two largest sizes,
where fixed costs weigh least: above 1.1 the curve is marked. Times are of the
processor, so that other jobs on the machine change them least.
"""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

from data_tools.system import processors
from experiments.machine import provenance
from experiments.runs import cli
from experiments.runs import json_store

PARTS = ("data", "dreams", "verbs")
WORSE = 1.1  # an exponent between the two largest sizes that is too much

cli.define_config_flags()
_STEPS = cli.string(
  "record_steps",
  "10000,100000,1000000",
  "Sizes of the records, comma-separated.",
)
_DREAMS = cli.string(
  "dreams", "16,64,256,1024,4096", "Dreams side by side, comma-separated."
)
_PARTS = cli.string("parts", ",".join(PARTS), "Which, comma-separated.")
_REPEATS = cli.integer("repeats", 3, "Timed batches of dreams of each size.")
_NOTE = cli.string("note", "", "Goes into the file, such as what else ran.")
_JSON = cli.string("json", "", "Also write the results to this file.")


def main() -> None:
  """Measures one part after the other and prints the curves."""
  steps = sizes("record_steps", _STEPS.value or "")
  dreams = sizes("dreams", _DREAMS.value or "")
  parts = _parts(_PARTS.value or "")
  if (_REPEATS.value or 0) < 1:
    raise ValueError(f"--repeats={_REPEATS.value}: expected at least 1")
  config = cli.make_config()
  load_before = os.getloadavg()
  result: dict[str, Any] = {"curves": {}}
  if "data" in parts:
    result["curves"] |= curves("steps", _data(steps))
  if "dreams" in parts:
    result["curves"] |= curves("dreams", _dreams(config, dreams))
  for line in lines(result["curves"]):
    print(line, flush=True)
  if "verbs" in parts:
    result["verbs"] = _verbs()
    for name, taken in result["verbs"].items():
      print(f"{name:<24} {taken['cpu_s']:>6.2f} s to --help")
  if _JSON.value:
    path = pathlib.Path(_JSON.value)
    json_store.write_json(
      path,
      {
        "command": cli.command_line(),
        "commit": provenance.commit(),
        "cpu_count": processors.available(),
        "load_average": {"before": load_before, "after": os.getloadavg()},
        "versions": provenance.versions(),
        "note": _NOTE.value,
        "preset": config.preset,
        **result,
      },
      depth=3,
    )
    print(f"wrote {path}")


def curves(name: str, rows: dict[int, dict[str, float]]) -> dict[str, Any]:
  """Curves of everything that was measured at every size, with their laws.

  Args:
    name: what the sizes count.
    rows: what was measured, by size.
  """
  from experiments.speed import growth_jobs

  at = sorted(rows)
  found = {}
  for measured in rows[at[0]]:
    values = [rows[size][measured] for size in at]
    found[f"{measured} against {name}"] = {
      "sizes": at,
      "values": values,
      "exponent": growth_jobs.law(at, values),
      "exponent_at_the_end": growth_jobs.last_step(at, values),
    }
  return found


def lines(found: dict[str, Any]) -> list[str]:
  """The curves for a person."""
  table = []
  for name, curve in found.items():
    values = ", ".join(f"{value:.3g}" for value in curve["values"])
    end = curve["exponent_at_the_end"]
    marked = "  WORSE THAN LINEAR" if end > WORSE else ""
    table.append(
      f"{name:<32} {values:<44} ^{curve['exponent']:.2f}, at the end "
      f"^{end:.2f}{marked}"
    )
  return table


def _data(steps: list[int]) -> dict[int, dict[str, float]]:
  from experiments.machine import asked_process
  from experiments.speed import growth_jobs

  rows = {}
  for size in steps:
    with (
      tempfile.TemporaryDirectory(prefix="benchmark_growth") as folder,
      contextlib.ExitStack() as stack,
    ):
      start = lambda folder=folder, stack=stack: stack.enter_context(
        asked_process.AskedProcess(growth_jobs.Records, folder)
      )
      written = start().ask("write", size)
      # Its memory is measured apart from the writer's.
      read = start().ask("read")
      if read.pop("steps") != size:
        raise RuntimeError(f"{size} steps written, fewer read")
      read.pop("cache_default_mib")
      rows[size] = written | read
      print(f"{size:,} steps: {rows[size]}", flush=True)
  return rows


def _dreams(config: Any, dreams: list[int]) -> dict[int, dict[str, float]]:
  from experiments.machine import asked_process
  from experiments.speed import dream_jobs

  rows = {}
  for size in dreams:
    with asked_process.AskedProcess(dream_jobs.Dreams, config) as process:
      ready = process.ask("prepare", "rows", size)
      taken = [
        process.ask("run", "rows", size).cpu_s
        for _ in range(_REPEATS.value or 0)
      ]
      rows[size] = {
        "dream_s": sorted(taken)[len(taken) // 2],
        "compile_s": ready["compile_s"],
        "temporary_mib": ready["temporary_mib"],
      }
      print(f"{size:,} dreams: {rows[size]}", flush=True)
  return rows


def _verbs() -> dict[str, dict[str, float]]:
  """Seconds that each verb takes to print its help."""
  from experiments import __main__ as verbs

  found = {}
  for name in verbs.verbs():
    wall, cpu = time.perf_counter(), os.times()
    subprocess.run(
      [sys.executable, "-m", f"experiments.{name}", "--help"],
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
      check=False,  # absl leaves with 1 after --help
    )
    after = os.times()
    found[name] = {
      "wall_s": time.perf_counter() - wall,
      "cpu_s": after.children_user
      - cpu.children_user
      + after.children_system
      - cpu.children_system,
    }
  return found


def sizes(name: str, text: str) -> list[int]:
  """Whole numbers above 0 with commas between, ascending."""
  words = [word.strip() for word in text.split(",")]
  if not all(word.isdigit() and int(word) > 0 for word in words):
    raise ValueError(f"--{name}: {text!r}, expected such as 100,1000,10000")
  return sorted({int(word) for word in words})


def _parts(text: str) -> list[str]:
  wanted = [word.strip() for word in text.split(",")]
  for word in wanted:
    if word not in PARTS:
      raise ValueError(f"--parts: {word!r}, expected of {', '.join(PARTS)}")
  return wanted


if __name__ == "__main__":
  cli.run_main(main)
