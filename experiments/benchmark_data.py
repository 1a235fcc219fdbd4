"""Measures the emulator side: collector, records and loader.

    python -m experiments.benchmark_data [--json=FILE]

What is compared is taken in turns within one run, because other jobs slow a
machine down and up again; a ratio is the median over neighbours, its range in
brackets. The collector (state, rewards, encoding, records) is held against the
bare tick loop by CPU time on one core; two workers against one, beside the same
for work without an emulator; our vector environment against `AsyncVectorEnv`,
and against the collector by CPU time. The loader, reading every chunk anew and
with its chunks kept unpacked (as up to `train.cache_mib` of them are), is held
against float32 RGB batches of frames in memory: as a data set of tensors makes
them, at best, and where PyTorch is installed by its own DataLoader
(`loader_rivals`). Memory is what a process
grew by, beside what its buffers are configured to hold.

The practice cartridge is played, or --rom. Everything is recorded to a
temporary directory and removed; for the loader the records are copied until
they are --loader_steps. Takes about 2 minutes with the flags' defaults.
"""

import os
import pathlib
import platform
import tempfile
import time
from typing import Any

from data_tools.system import processors
from experiments.runs import cli
from experiments.runs import json_store
from pokedreamer_jax.config import presets

_WANTED = {"rival": " (10 wanted)", "torch": " (10 wanted)"}
SECTIONS = (
  *("collector", "scaling", "disk", "loader", "vector"),
  "vector_collector",
)

_ROM = cli.define_rom()
_SECONDS = cli.string("seconds", "2", "Length of a timed slice.")
_REPEATS = cli.integer("repeats", 5, "Slices of each kind.")
_SECTIONS = cli.string(
  "sections", ",".join(SECTIONS), "Which, comma-separated."
)
_LOADER_STEPS = cli.integer(
  "loader_steps", 1 << 16, "Steps that the loader draws from, at least."
)
_JSON = cli.string("json", "", "Also write the results to this file.")


def main() -> None:
  """Measures one section after the other and prints the table."""
  from data_tools.game import roms
  from data_tools.players import policies
  from experiments.speed import data_jobs
  from experiments.speed import data_speed

  sections = _sections(_SECTIONS.value or "")
  seconds, repeats = _positive(_SECONDS.value or ""), _REPEATS.value or 0
  if repeats < 1:
    raise ValueError(f"--repeats: {_REPEATS.value}, expected at least 1")
  rom = roms.resolve(_ROM.value)
  mix = policies.playable_mix(presets.make("tiny").collect.policy_mix, rom)
  measure = {
    "collector": data_speed.collector_against_ticks,
    "scaling": data_speed.scaling,
    "disk": data_speed.disk,
    "loader": data_speed.loader_against_rivals,
    "vector": data_speed.vector_environments,
    "vector_collector": data_speed.vector_against_collector,
  }
  results: dict[str, Any] = {}
  began = time.perf_counter()
  with tempfile.TemporaryDirectory(prefix="benchmark_data") as folder:
    settings = data_jobs.Settings(
      rom,
      pathlib.Path(folder),
      mix,
      seconds,
      repeats,
      loader_steps=_LOADER_STEPS.value or 0,
    )
    for section in sections:
      cli.say(f"Measuring: {section}, {repeats} slices of {seconds:g} s a kind")
      results[section] = measure[section](settings)
      for line in lines(section, results[section]):
        print(line, flush=True)
  if _JSON.value:
    _write(pathlib.Path(_JSON.value), rom, results, began)


def lines(section: str, result: dict[str, Any]) -> list[str]:
  """Rows of the table for a person."""
  if section == "collector":
    return [
      _row("bare tick loop, one core", result["ticks_per_s"], "steps/s"),
      _row("collector, one core", result["collector_per_s"], "steps/s"),
      _ratio("  of the tick loop (0.70 wanted)", result),
    ]
  if section == "scaling":
    rows = []
    for kind, name in (("collect", "collector"), ("control", "control loop")):
      rows += [
        _row(f"{name}, one process", result[kind]["one"], "steps/s"),
        _row(f"{name}, two processes", result[kind]["two"], "steps/s"),
        _ratio("  two against one", result[kind]),
      ]
    return [*rows, _memory("collector", result["memory"])]
  if section == "disk":
    name = f"on disk, {result['steps']:,} steps (1,000 wanted)"
    return [_row(name, result["bytes_per_step"], "bytes/step")]
  if section == "loader":
    return _loader_lines(result)
  if section == "vector_collector":
    return [
      _row("collector, CPU time", result["collector_per_s"], "steps/s"),
      _row("vector environment, CPU time", result["vector_per_s"], "steps/s"),
      _ratio("  of the collector", result),
    ]
  return [
    _row("vector environment", result["ours_per_s"], "steps/s"),
    _row("AsyncVectorEnv", result["async_per_s"], "steps/s"),
    _ratio("  ours against it", result),
  ]


def _loader_lines(result: dict[str, Any]) -> list[str]:
  names = {
    "rival": "float32 RGB, torch style",
    "fused": "float32 RGB, fused in numpy",
    "torch": "torch DataLoader, 2 processes",
    "copy": "bytes of such batches, copied (limit)",
  }
  rows = [
    _row("loader, 64 x 64 (60,000 wanted)", result["ours_per_s"], "frames/s"),
    _row("  chunks kept unpacked", result["cached_per_s"], "frames/s"),
  ]
  for other, ratios in result["against"].items():
    size, length = result["batches"][other]
    rows += [
      _row(
        names[other], result[f"{other}_per_s"], f"frames/s, {size} x {length}"
      ),
      _ratio(f"  loader against it{_WANTED.get(other, '')}", ratios["ours"]),
      _ratio("  chunks kept unpacked, against it", ratios["cached"]),
    ]
  return [
    *rows,
    _memory("loader", result["memory"]),
    _row("  whole process", result["memory"]["peak_mib"], "MiB"),
    _row("float32 RGB, whole process", result["rival_peak_mib"], "MiB"),
  ]


def _row(name: str, value: float, unit: str) -> str:
  return f"{name:<40} {value:>12,.0f} {unit}"


def _ratio(name: str, result: dict[str, Any]) -> str:
  low, high = result["ratio_low"], result["ratio_high"]
  return f"{name:<40} {result['ratio']:>12.2f} [{low:.2f}, {high:.2f}]"


def _memory(name: str, memory: dict[str, float]) -> str:
  bound = f"MiB (buffers {memory['bound_mib']:.0f})"
  return _row(f"  memory the {name} takes", memory["growth_mib"], bound)


def _sections(text: str) -> list[str]:
  wanted = text.split(",")
  if unknown := set(wanted) - set(SECTIONS):
    raise ValueError(
      f"--sections: {sorted(unknown)}, valid are {list(SECTIONS)}"
    )
  if {"disk", "loader"} & set(wanted) and "scaling" not in wanted:
    raise ValueError("--sections: disk and loader read what scaling records")
  return [section for section in SECTIONS if section in wanted]


def _positive(text: str) -> float:
  try:
    value = float(text)
  except ValueError:
    value = 0.0
  if not 0 < value < 3600:
    raise ValueError(f"--seconds: {text!r}, expected a number above 0")
  return value


def _write(
  path: pathlib.Path, rom: Any, results: dict[str, Any], began: float
) -> None:
  import numpy as np

  from data_tools.game import emulator

  json_store.write_json(
    path,
    {
      "command": cli.command_line(),
      "rom_sha1": rom.sha1,
      "pyboy": emulator.pyboy_version(),
      "python": platform.python_version(),
      "numpy": np.__version__,
      "cpu_count": processors.available(),
      "load_average": os.getloadavg(),
      "seconds_in_all": round(time.perf_counter() - began, 1),
      **results,
    },
  )
  print(f"wrote {path}")


if __name__ == "__main__":
  cli.run_main(main)
