"""What verbs begin at: a call of each that does nothing but say its help."""

from collections.abc import Sequence
import pathlib
import tempfile

from experiments.speed import growth_runs


def measure(verbs: Sequence[str], repeats: int) -> dict[str, dict[str, float]]:
  """Seconds that each verb takes to print its help, and its memory, by name.

  Args:
    verbs: their names.
    repeats: calls of each; the one with the least processor time counts.
  """
  found = {}
  with tempfile.TemporaryDirectory(prefix="benchmark_growth") as folder:
    log = pathlib.Path(folder) / "log.txt"
    for verb in verbs:
      calls = [
        # absl leaves with 1 after --help
        growth_runs.run(verb, ["--help"], log, codes=(0, 1))
        for _ in range(repeats)
      ]
      best = min(calls, key=lambda call: call.cpu_s)
      found[verb] = {
        "cpu_s": best.cpu_s,
        "wall_s": best.wall_s,
        "peak_mib": best.peak_mib,
      }
  return found


def lines(found: dict[str, dict[str, float]]) -> list[str]:
  """A line a verb, the slowest first."""
  ordered = sorted(found.items(), key=lambda item: -item[1]["cpu_s"])
  return [
    f"{name:<24} {taken['cpu_s']:>6.2f} s to --help, "
    f"{taken['peak_mib']:>5.0f} MiB"
    for name, taken in ordered
  ]
