"""Measures what each piece of the world model's recipe brings.

    python -m experiments.benchmark_ablation --data_dir=DIR[,DIR,...] \
      --seeds=0,1,2 --updates=700 --workdir=DIR [--json=FILE]

Of the preset's recipe one piece after the other is left out, or a try added.
An update of each is timed in turns with one of the present recipe, as CPU time
of the process; every recipe then gets as many updates as fit into the CPU time
of --updates present ones, its learning rate's schedule scaled with them.
Training and measuring are ordinary commands, which are shown, one for each
recipe and seed: `train_rssm`, and `evaluate --what=world_model` in quick
detail. The table tells means over seeds with their range, and what each recipe
differs by from the present one, seed by seed.

The same command on the same --workdir goes on where it stopped; what is done
is not done again; the table tells of the --recipes and --seeds of the call.
JSON and table are written after each run, of what is there by then. Pin it to a
core (`taskset -c 0`) where others work beside it.
"""

import pathlib
from typing import Any

from data_tools.system import processors
from experiments.machine import provenance
from experiments.reports import text_tables
from experiments.runs import cli
from experiments.runs import json_store
from experiments.runs import run_directory
from experiments.runs import stages
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib

_WORKDIR = cli.string("workdir", None, "Directory of all runs; resumes.")
_DATA_DIR = cli.string(
  "data_dir", None, "Recorded experience: of all seeds, or one for each."
)
_PRESET = cli.string("preset", "tiny", "Whose recipe is taken apart.")
_SET = cli.repeated("set", "Overrides a field in all recipes (repeatable).")
_SEEDS = cli.string("seeds", "0,1,2", "Of the initial weights and batches.")
_RECIPES = cli.string("recipes", "", "Which, comma-separated; default: all.")
_UPDATES = cli.integer("updates", 700, "Updates of the present recipe.")
_ROUNDS = cli.integer("rounds", 8, "Turns in which updates are timed.")
_TURN = cli.integer("turn", 4, "Updates of a turn.")
_JSON = cli.string("json", "", "Also write the numbers to this file.")

_STAGE = "benchmark_ablation"
_FREE = ("data", "recipes")  # each run below knows its own


def main() -> int:
  """Times, trains, measures and prints the tables."""
  from experiments.speed import ablation

  workdir = pathlib.Path(cli.required("workdir"))
  names = _recipes(_RECIPES.value or "", ablation.RECIPES)
  data = _data_by_seed(cli.required("data_dir"), _SEEDS.value or "")
  for flag in (_UPDATES, _ROUNDS, _TURN):
    if (flag.value or 0) < 1:
      raise ValueError(f"--{flag.name}={flag.value}: expected at least 1")
  given = tuple(_SET.value or ())
  preset = _PRESET.value or ""
  for name in names:
    presets.make(preset, [*given, *ablation.RECIPES[name]])  # complains early
  run = run_directory.open_run(
    workdir,
    _STAGE,
    {
      **config_lib.to_dict(presets.make(preset, given)),
      "updates": _UPDATES.value,
      "data": {str(seed): folder for seed, folder in data.items()},
      "recipes": names,
    },
    _FREE,
    graceful=False,
  )
  with run:
    counts, ratios = _timed(ablation, run, preset, given, names)
    found: dict[str, dict[int, Any]] = {name: {} for name in names}
    # Seed by seed: what is there when it is stopped can be compared.
    for seed, data_dir in data.items():
      arguments = [f"--preset={preset}", f"--seed={seed}"]
      arguments += [f"--set={item}" for item in given]
      for name in names:
        folder = workdir / f"seed_{seed}" / name
        plan = ablation.make_stages(
          folder, name, data_dir, arguments, counts[name]
        )
        for stage in stages.pending(plan):
          code = _carried_out(stage, run)
          if code:
            return code
        measured = run_directory.read_result(folder / "evaluate")
        found[name][seed] = ablation.measures(measured)
        result = _result(ablation, preset, given, counts, ratios, found)
        _leave(ablation, result, run.path)
    run.log("\n".join(_lines(ablation, result)))
    run.finish(result)
  return 0


def _timed(
  ablation: Any,
  run: run_directory.Run,
  preset: str,
  given: tuple[str, ...],
  names: list[str],
) -> tuple[dict[str, int], dict[str, Any]]:
  """Updates of each recipe and what its time is; timed once a directory."""
  path = run.path / "timings.json"
  ratios = json_store.read_json(path)
  others = [n for n in names if n != ablation.PRESENT and n not in ratios]
  if others:
    run.log(f"Timing an update of {', '.join(others)} in turns")
    rounds, turn = _ROUNDS.value or 0, _TURN.value or 0
    ratios |= ablation.cpu_ratios(preset, given, others, rounds, turn)
    json_store.write_json(path, ratios)
  return ablation.update_counts(ratios, _UPDATES.value or 0), ratios


def _carried_out(stage: stages.Stage, run: run_directory.Run) -> int:
  """0, or the exit code of a stage that ended badly or was stopped."""
  run.log(f"\n{stage.title}\n$ {stage.command}")
  outcome = stages.run(stage, run.path / "log.txt")
  if outcome.exit_code or outcome.signal is not None:
    run.log(f"Ended during {stage.title}. To continue: {cli.command_line()}")
    return outcome.exit_code or 128 + (outcome.signal or 0)
  return 0


def _result(
  ablation: Any,
  preset: str,
  given: tuple[str, ...],
  counts: dict[str, int],
  ratios: dict[str, Any],
  found: dict[str, dict[int, Any]],
) -> dict[str, Any]:
  """What the tables show, and where it comes from; JSON-ready."""
  means = ablation.summed(found)
  recipes = {}
  for name, seeds in found.items():
    timed = ratios.get(name, {"ratio": 1.0})
    recipes[name] = {
      "set": list(ablation.RECIPES[name]),
      "updates": counts[name],
      "cpu_ratio": round(timed["ratio"], 3),
      "timed": {k: round(v, 3) for k, v in timed.items() if k != "ratio"},
      "seeds": {
        str(seed): {
          k: v if v is None else round(v, 4) for k, v in values.items()
        }
        for seed, values in seeds.items()
      },
      **means[name],
    }
  return {
    "command": cli.command_line(),
    "commit": provenance.commit(),
    "cpu_count": processors.available(),
    "versions": provenance.versions(),
    "preset": preset,
    "set": list(given),
    "each": "train_rssm with --set of the recipe and train.steps=updates, then "
    "evaluate --what=world_model --set=evaluate.detail=quick",
    "recipes": recipes,
  }


def _leave(ablation: Any, result: dict[str, Any], path: pathlib.Path) -> None:
  """Table and JSON of what is there so far."""
  text = "\n".join(_lines(ablation, result))
  (path / "table.txt").write_text(text + "\n", encoding="utf-8")
  if _JSON.value:
    json_store.write_json(pathlib.Path(_JSON.value), result, depth=3)


def _lines(ablation: Any, result: dict[str, Any]) -> list[str]:
  return text_tables.plain_tables(ablation.tables(result["recipes"]))


def _recipes(text: str, known: dict[str, Any]) -> list[str]:
  """The recipes that are asked for, the present one first."""
  asked = list(filter(None, text.split(","))) or list(known)
  unknown = sorted(set(asked) - set(known))
  if unknown or len(set(asked)) < len(asked):
    raise ValueError(
      f"--recipes={text}: expected different ones of {', '.join(known)}"
    )
  first = next(iter(known))  # the present one, which all are compared with
  return [name for name in known if name in asked or name == first]


def _data_by_seed(data_dirs: str, seeds: str) -> dict[int, str]:
  """Seed -> its records."""
  items, folders = seeds.split(","), data_dirs.split(",")
  if not all(i.isascii() and i.isdigit() for i in items) or len(
    set(map(int, items))
  ) < len(items):
    raise ValueError(f"--seeds={seeds}: expected different numbers, as in 0,1")
  if len(folders) not in (1, len(items)):
    raise ValueError(
      f"--data_dir={data_dirs}: {len(folders)} directories, expected one, or "
      f"one for each of --seeds={seeds}"
    )
  folders *= len(items) if len(folders) == 1 else 1
  return dict(zip(map(int, items), folders, strict=True))


if __name__ == "__main__":
  cli.run_main(main)
