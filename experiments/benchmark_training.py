"""Measures the world model's training update.

    python -m experiments.benchmark_training [--presets=tiny,v2,v3]

For every preset: updates and frames per second, the share of the matrix peak
of the device, memory and compile time. A preset that decodes only some of the
frames of a batch says how many. The presets run in processes of their
own and are timed in turns, round after round, because other jobs slow a
machine down and up again; ratios are medians over rounds, ranges in brackets.
Where PyTorch is installed (`requirements-torch.txt`), an independent
implementation of v2 is timed in the same rounds on a batch of the same size,
eager and compiled, else that line says that it is missing. `--compare` says
what became slower than a run that `--json` wrote on the same machine.
"""

import contextlib
import os
import pathlib
from typing import Any

from data_tools.system import processors
from experiments.machine import provenance
from experiments.runs import cli
from experiments.runs import json_store
from pokedreamer_jax.config import presets

_TORCH = "v2, PyTorch eager"
_COMPILED = "v2, torch.compile"
_HEADER = (
  f"{'model':<18} {'batch':>8} {'decoded':>7} {'updates/s':>10} "
  f"{'frames/s':>9} {'IQR ms':>7} {'of GFLOP/s':>13} {'memory':>9} "
  f"{'compile':>8}"
)

_PRESETS = cli.string("presets", "tiny,v2,v3", "Which, comma-separated.")
_SET = cli.repeated("set", "Overrides a field in all of them (repeatable).")
_BATCHES = cli.string(
  "batches", "v2=2x15", "Sizes other than a preset's own: preset=BxT, ..."
)
_ROUNDS = cli.integer("rounds", 5, "Rounds; in each every model has its turn.")
_UPDATES = cli.integer("updates", 3, "Timed updates of a turn.")
_CORES = cli.integer("cores", 0, "Processors to keep to; 0: all there are.")
_COMPARE = cli.string("compare", "", "A file that --json wrote.")
_JSON = cli.string("json", "", "Also write the results to this file.")


def main() -> None:
  """Times all models in turns and prints the table."""
  from experiments.machine import asked_process
  from experiments.speed import torch_rival
  from experiments.speed import training_speed
  from experiments.speed import turns

  names = (_PRESETS.value or "").split(",")
  for preset in names:
    presets.make(preset, _SET.value or ())  # complains about what is wrong
  sizes = _sizes(_BATCHES.value or "", names)
  rounds, count = _ROUNDS.value or 0, _UPDATES.value or 0
  if rounds < 1 or count < 1:
    raise ValueError("--rounds, --updates: expected at least 1")
  cores = _CORES.value or 0
  if cores < 0:
    raise ValueError(f"--cores={cores}: expected at least 0")
  recorded = turns.read(_COMPARE.value) if _COMPARE.value else None
  turns.pin(cores)
  made: dict[str, Any] = {}
  with contextlib.ExitStack() as stack:

    def start(make: Any, *arguments: Any) -> Any:
      return stack.enter_context(asked_process.AskedProcess(make, *arguments))

    facts: dict[str, Any] = {}
    for preset in names:
      asked = training_speed.Asked(
        preset, tuple(_SET.value or ()), *sizes.get(preset, (0, 0))
      )
      made[preset] = start(training_speed.Update, asked)
      facts[preset] = made[preset].ask("compile")
      made[preset].ask("matrix_peak")
    same = {
      "machine": turns.machine(
        facts[names[0]]["device"], cores or processors.available()
      ),
      "sizes": {
        name: f"{fact['batch']} {fact['dtype']}, {fact['parameters']} weights"
        for name, fact in facts.items()
      },
    }
    if recorded is not None:
      turns.check(_COMPARE.value or "", recorded, same)
    if "v2" in names:
      if torch_rival.installed():
        shape = facts["v2"]["batch"]
        threads = processors.available()
        made[_TORCH] = start(training_speed.Rival, *shape, threads)
        facts[_TORCH] = made[_TORCH].ask("describe")
        compiled = start(training_speed.Rival, *shape, threads, True)
        try:
          facts[_COMPILED] = compiled.ask("describe")
          made[_COMPILED] = compiled
        except RuntimeError as error:  # it needs a C++ compiler
          print(f"torch.compile failed, the rest is timed: {error}"[:300])
      else:
        print(
          "PyTorch is not installed (requirements-torch.txt): no rival for v2"
        )
    seconds: dict[str, list[list[float]]] = {name: [] for name in made}
    peaks: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
      for name, process in made.items():
        seconds[name].append(process.ask("updates", count))
        if name in peaks:
          peaks[name].append(process.ask("matrix_peak"))
    for name in names:
      facts[name] |= made[name].ask("memory")
  result = {**_result(facts, seconds, peaks), **same}
  result["timings"] = _timings(turns, seconds, peaks)
  for line in lines(result):
    print(line)
  if recorded is not None:
    for line in turns.changes(recorded, result["timings"]):
      print(line)
  if _JSON.value:
    path = pathlib.Path(_JSON.value)
    json_store.write_json(path, result)
    print(f"wrote {path}")


def _timings(
  turns: Any,
  seconds: dict[str, list[list[float]]],
  peaks: dict[str, list[float]],
) -> dict[str, Any]:
  """An update of each by round; and what of a matrix product took as long.

  The peak is in operations per second: a turn's inverse stands for its time.
  """
  import statistics

  found = {
    name: turns.summary([statistics.median(turn) for turn in rounds])
    for name, rounds in seconds.items()
  }
  first = next(iter(peaks.values()))
  return found | {turns.PEAK: turns.summary([1e9 / peak for peak in first])}


def _result(
  facts: dict[str, Any],
  seconds: dict[str, list[list[float]]],
  peaks: dict[str, list[float]],
) -> dict[str, Any]:
  import statistics

  from experiments.speed import training_speed

  rows = {}
  for name, turns in seconds.items():
    batch, length = facts[name]["batch"]
    flat = [second for turn in turns for second in turn]
    rows[name] = {**facts[name], **training_speed.summary(flat, batch * length)}
    if name in peaks:
      reached = facts[name]["flops"] / statistics.median(flat)
      peak = statistics.median(peaks[name])
      rows[name] |= {"peak_flops": peak, "share_of_peak": reached / peak}
  ratios = {}
  for name, words in ((_TORCH, "PyTorch eager"), (_COMPILED, "torch.compile")):
    if name in seconds:
      ratios[f"v2 against {words}, updates/s"] = training_speed.median_ratio(
        seconds["v2"], seconds[name]
      )
  if {"v2", "v3"} <= set(seconds):
    # Per frame: the batches differ.
    per_frame = {
      name: [
        [second / (rows[name]["batch"][0] * rows[name]["batch"][1])]
        for second in map(statistics.median, seconds[name])
      ]
      for name in ("v2", "v3")
    }
    ratios["v3 against v2, frames/s"] = training_speed.median_ratio(
      per_frame["v3"], per_frame["v2"]
    )
  return {
    "command": cli.command_line(),
    "commit": provenance.commit(),
    "cpu_count": processors.available(),
    "load_average": os.getloadavg(),
    "versions": provenance.versions(),
    "models": rows,
    "ratios": ratios,
  }


def lines(result: dict[str, Any]) -> list[str]:
  """The table for a person."""
  found = [_HEADER, "-" * len(_HEADER)]
  for name, row in result["models"].items():
    batch = "x".join(map(str, row["batch"]))
    frames = row["batch"][0] * row["batch"][1]
    decoded = row.get("decoded_rows", frames)  # PyTorch decodes them all
    share = "-"
    if "share_of_peak" in row:
      gflops = row["peak_flops"] / 1e9
      share = f"{row['share_of_peak']:.0%} of {gflops:,.0f}"
    memory = row.get("device_peak_mib", row.get("growth_mib"))
    compile_s = f"{row['compile_s']:.1f} s" if "compile_s" in row else "-"
    found.append(
      f"{name:<18} {batch:>8} {decoded:>7} {row['updates_per_s']:>10.2f} "
      f"{row['frames_per_s']:>9,.0f} {row['iqr_ms']:>7.1f} {share:>13} "
      f"{'-' if memory is None else f'{memory:,.0f} MiB':>9} {compile_s:>8}"
    )
  for name, ratio in result["ratios"].items():
    low, high = ratio["ratio_low"], ratio["ratio_high"]
    found.append(f"{name}: {ratio['ratio']:.2f} [{low:.2f}, {high:.2f}]")
  return found


def _sizes(text: str, names: list[str]) -> dict[str, tuple[int, int]]:
  """Batch and length by preset, of `preset=BxT,...`."""
  found = {}
  for item in filter(None, text.split(",")):
    name, _, shape = item.partition("=")
    batch, _, length = shape.partition("x")
    if not (batch.isdigit() and length.isdigit() and int(batch) * int(length)):
      raise ValueError(f"--batches: {item!r}, expected such as v2=2x15")
    found[name] = (int(batch), int(length))
  return {name: found[name] for name in names if name in found}


if __name__ == "__main__":
  cli.run_main(main)
