"""Measures how cost grows: with records, dreams, sizes, windows and updates.

    python -m experiments.benchmark_growth [--parts=data,dreams,verbs] \\
      [--json=FILE]

Parts, each with its flags:
  data        records to freeze, index and read (--record_steps)
  dreams      dreams side by side (--dreams)
  sizes       a model's widths: update, dreams, decision, checkpoint
              (--model_sizes, in units of the preset's)
  evaluation  evaluating a world model: recorded steps and windows
              (--eval_episodes, --eval_windows)
  memory      that of trainings along their updates (--memory_updates)
  verbs       what each verb takes to print its help

Records of `data` are synthetic, written to the directory for temporary files
(TMPDIR) and removed; a step takes 380 bytes, 2.5 times as many as a played one.
Each curve has the exponent of the power law that fits it best, with its
interval, and that between its two largest sizes, where fixed costs weigh least:
above 1.1 the curve is marked. Times are of the processor, so that other jobs on
the machine change them least.
"""

from collections.abc import Callable
import os
import pathlib
from typing import Any

from data_tools.system import processors
from experiments.machine import provenance
from experiments.runs import cli
from experiments.runs import json_store
from experiments.speed import growth_laws
from experiments.speed import growth_runs
from pokedreamer_jax.config import run as config_lib

cli.define_config_flags()
_STEPS = cli.string(
  "record_steps",
  "10000,100000,1000000",
  "Sizes of the records, comma-separated.",
)
_DREAMS = cli.string(
  "dreams", "16,64,256,1024,4096", "Dreams side by side, comma-separated."
)
_SIZES = cli.string(
  "model_sizes", "0.25,0.5,1,2,4", "Times a preset's widths, comma-separated."
)
_EPISODES = cli.string(
  "eval_episodes", "20,40,80,160", "Recorded episodes, comma-separated."
)
_WINDOWS = cli.string(
  "eval_windows", "25,50,100,200", "Evaluated windows, comma-separated."
)
_UPDATES = cli.string(
  "memory_updates",
  "10000,2000",
  "Updates of the world model, and of the policy (at least 200 each).",
)
_PARTS = cli.string("parts", "data,dreams,verbs", "Which, comma-separated.")
_REPEATS = cli.integer(
  "repeats", 3, "Timed updates and dreams of each size, calls of each verb."
)
_NOTE = cli.string("note", "", "Goes into the file, such as what else ran.")
_JSON = cli.string("json", "", "Also write the results to this file.")


def main() -> None:
  """Measures one part after the other and prints the curves."""
  measured = {name: PARTS[name] for name in _parts(_PARTS.value or "")}
  _check()
  config = cli.make_config()
  load_before = os.getloadavg()
  result: dict[str, Any] = {"curves": {}}
  for name, part in measured.items():
    cli.say(f"Measuring: {name}")
    with growth_runs.ending_in_order():
      curves, rest, shown = part(config)
    result["curves"] |= curves
    result |= rest
    for line in [*growth_laws.lines(curves), *shown]:
      print(line, flush=True)
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
        **growth_laws.as_json(result),
      },
      depth=3,
    )
    print(f"wrote {path}")


def sizes(name: str, text: str) -> list[int]:
  """Whole numbers above 0 with commas between, ascending."""
  words = [word.strip() for word in text.split(",")]
  if not all(word.isdigit() and int(word) > 0 for word in words):
    raise ValueError(f"--{name}: {text!r}, expected such as 100,1000,10000")
  return sorted({int(word) for word in words})


def factors(name: str, text: str) -> list[float]:
  """Numbers above 0 with commas between, ascending."""
  try:
    found = sorted({float(word) for word in text.split(",")})
  except ValueError:
    found = [0.0]
  if not 0.0 < found[0] <= found[-1] < 1e3:
    raise ValueError(f"--{name}: {text!r}, expected such as 0.5,1,2")
  return found


def updates(name: str, text: str) -> tuple[int, int]:
  """Updates of a world model and of a policy; 0 of the latter is none."""
  words = [word.strip() for word in text.split(",")]
  if len(words) == 2 and all(word.isdigit() for word in words):
    world_model, policy = map(int, words)
    if world_model >= 200 and (policy >= 200 or not policy):
      return world_model, policy
  raise ValueError(
    f"--{name}: {text!r}, expected such as 10000,2000, at least 200 each, or "
    "0 for no policy"
  )


# A part's curves, what else goes into the file, and lines about that.
_Found = tuple[dict[str, Any], dict[str, Any], list[str]]


def _data(config: config_lib.Config) -> _Found:
  from experiments.speed import growth_data

  del config
  rows = growth_data.measure(sizes("record_steps", _STEPS.value or ""))
  return growth_laws.curves("steps", rows), {}, []


def _dreams(config: config_lib.Config) -> _Found:
  from experiments.speed import growth_dreams

  dreams = sizes("dreams", _DREAMS.value or "")
  rows = growth_dreams.measure(config, dreams, _REPEATS.value or 0)
  return growth_laws.curves("dreams", rows), {}, []


def _sizes(config: config_lib.Config) -> _Found:
  from experiments.speed import growth_sizes

  widths = factors("model_sizes", _SIZES.value or "")
  rows = growth_sizes.measure(config, widths, _REPEATS.value or 0)
  return growth_laws.curves("parameters", rows), {}, []


def _evaluation(config: config_lib.Config) -> _Found:
  from experiments.speed import growth_evaluation

  del config
  by_steps, by_windows = growth_evaluation.measure(
    cli.config_arguments(),
    sizes("eval_episodes", _EPISODES.value or ""),
    sizes("eval_windows", _WINDOWS.value or ""),
  )
  curves = growth_laws.curves("recorded steps", by_steps)
  return curves | growth_laws.curves("windows", by_windows), {}, []


def _memory(config: config_lib.Config) -> _Found:
  from experiments.speed import growth_memory

  del config
  counts = updates("memory_updates", _UPDATES.value or "")
  found = growth_memory.measure(cli.config_arguments(), *counts)
  return {}, {"memory": found}, growth_memory.lines(found)


def _verbs(config: config_lib.Config) -> _Found:
  from experiments import __main__ as listing
  from experiments.speed import growth_verbs

  del config
  found = growth_verbs.measure(list(listing.verbs()), _REPEATS.value or 0)
  return {}, {"verbs": found}, growth_verbs.lines(found)


PARTS: dict[str, Callable[[config_lib.Config], _Found]] = {
  "data": _data,
  "dreams": _dreams,
  "sizes": _sizes,
  "evaluation": _evaluation,
  "memory": _memory,
  "verbs": _verbs,
}


def _check() -> None:
  """Complains about any flag before something long begins."""
  for flag in (_STEPS, _DREAMS, _EPISODES, _WINDOWS):
    sizes(flag.name, flag.value or "")
  factors(_SIZES.name, _SIZES.value or "")
  updates(_UPDATES.name, _UPDATES.value or "")
  if (_REPEATS.value or 0) < 1:
    raise ValueError(f"--repeats={_REPEATS.value}: expected at least 1")


def _parts(text: str) -> list[str]:
  wanted = [word.strip() for word in text.split(",")]
  for word in wanted:
    if word not in PARTS:
      raise ValueError(f"--parts: {word!r}, expected of {', '.join(PARTS)}")
  return wanted


if __name__ == "__main__":
  cli.run_main(main)
