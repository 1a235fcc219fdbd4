"""How cost grows with the dreams side by side."""

from collections.abc import Sequence
import statistics

from experiments.machine import asked_process
from experiments.speed import dream_jobs
from pokedreamer_jax.config import run as config_lib


def measure(
  config: config_lib.Config, dreams: Sequence[int], repeats: int
) -> dict[int, dict[str, float]]:
  """CPU seconds and memory of a batch of judged dreams, by their number.

  Args:
    config: of the networks, which are fresh.
    dreams: side by side, each number in a process of its own.
    repeats: timed batches of each, of which the median counts.
  """
  rows = {}
  for size in dreams:
    with asked_process.AskedProcess(dream_jobs.Dreams, config) as process:
      ready = process.ask("prepare", "rows", size)
      taken = [process.ask("run", "rows", size).cpu_s for _ in range(repeats)]
      rows[size] = {
        "dream_s": statistics.median(taken),
        "compile_s": ready["compile_s"],
        "temporary_mib": ready["temporary_mib"],
      }
      print(f"{size:,} dreams: {rows[size]}", flush=True)
  return rows
