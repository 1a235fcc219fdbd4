"""Puts evaluations side by side, averaged over seeds.

    python -m experiments.compare --run=given=runs/a0,runs/a1,runs/a2 \
      --run=off=runs/b0,runs/b1,runs/b2 [--json=FILE] [--markdown]
    python -m experiments.compare --run=tiny=runs/play0,runs/play1 --than=clone

Every `--run` names a row and the run directories of `experiments.evaluate`
that it averages, one per seed; all of one kind: `--what=world_model`, `play`,
`goals`, `dreams`, `agent` or `long_dream`. Cells are the mean over seeds and,
in brackets, the lowest and the highest of them; what no run measured is left
out. Of play there is also a table of badges seed by seed, and with
`--than=PLAYER` what the other players of the same evaluation gain over that
one. Runs of one row are refused where they were measured differently: another
number of windows or games, other horizons or another game.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib
from typing import Any

from experiments.reports import compared_measures
from experiments.reports import compared_world_models
from experiments.reports import text_tables
from experiments.runs import cli
from experiments.runs import json_store
from experiments.runs import run_directory

Results = dict[str, list[dict[str, Any]]]  # name of a row -> one per seed

_WORLD_MODEL, _PLAY = "evaluate_world_model", "evaluate_play"
_STAGES = (_WORLD_MODEL, *compared_measures.KINDS)

_RUN = cli.repeated("run", "NAME=DIR,DIR,...: a row and its seeds.")
_THAN = cli.string(
  "than", "", "Of play: also what others gain over this player."
)
_MARKDOWN = cli.boolean("markdown", False, "Prints tables for a page.")
_JSON = cli.string("json", "", "Also write the numbers to this file.")


def main() -> None:
  """Flags to tables."""
  results: Results = {}
  for item in _RUN.value or ():
    name, equals, text = item.partition("=")
    if not equals or not name or name in results:
      raise ValueError(f"--run={item}: expected NAME=DIR,DIR,... once a name")
    directories = text.split(",")
    if len({pathlib.Path(path).resolve() for path in directories}) < len(
      directories
    ):
      raise ValueError(f"--run={item}: a directory is given twice")
    results[name] = [read(directory) for directory in directories]
  if not results:
    raise ValueError("--run is required")
  stage = _one_stage(results)
  for name, seeds in results.items():
    _check_alike(name, stage, seeds)
  shown = tables(stage, results, _THAN.value or "")
  if _MARKDOWN.value:
    print("\n".join(text_tables.markdown_tables(shown)))
  else:
    print("\n".join(text_tables.plain_tables(shown)))
  if _JSON.value:
    path = pathlib.Path(_JSON.value)
    json_store.write_json(path, _numbers(stage, results))
    print(f"wrote {path}")


def read(directory: str) -> dict[str, Any]:
  """The result of a whole evaluation, with its `config` and `directory`.

  Raises:
    ValueError: it is none, or not complete.
  """
  stage = run_directory.read_stage(directory)
  if stage not in _STAGES:
    raise ValueError(
      f"{directory}: a run of {stage}, expected one of {', '.join(_STAGES)}"
    )
  result = run_directory.read_result(directory)
  if not result:
    raise ValueError(f"{directory}: the evaluation is not complete")
  config = run_directory.read_config(directory)
  found = {"stage": stage, "directory": directory, "config": config}
  if stage == _WORLD_MODEL:
    found["world_model"] = config["world_model"]
  return {**found, **result}


def tables(
  stage: str, results: Results, than: str = ""
) -> list[text_tables.Table]:
  """What is shown of evaluations of one stage.

  Raises:
    ValueError: `than` is no player beside whom others were measured.
  """
  if than and stage != _PLAY:
    raise ValueError(f"--than={than}: of {stage}, expected of {_PLAY} alone")
  if stage == _WORLD_MODEL:
    return compared_world_models.tables(results)
  shown = compared_measures.tables(compared_measures.KINDS[stage], results)
  if stage == _PLAY:
    gains = [compared_measures.gain_table(results, than)] if than else []
    shown = [compared_measures.badge_table(results), *gains, *shown]
  return shown


def _numbers(stage: str, results: Results) -> dict[str, Any]:
  if stage == _WORLD_MODEL:
    return compared_world_models.numbers(results)
  return compared_measures.numbers(compared_measures.KINDS[stage], results)


def _one_stage(results: Results) -> str:
  seeds = [seed for each in results.values() for seed in each]
  for seed in seeds[1:]:
    if seed["stage"] != seeds[0]["stage"]:
      raise ValueError(
        f"{seed['directory']}: a run of {seed['stage']}, expected "
        f"{seeds[0]['stage']} as {seeds[0]['directory']}"
      )
  return seeds[0]["stage"]


def _check_alike(
  name: str, stage: str, seeds: Sequence[Mapping[str, Any]]
) -> None:
  """Refuses runs of a row that were measured differently."""
  same: tuple[str, ...] = compared_world_models.SAME
  if stage != _WORLD_MODEL:
    kind = compared_measures.KINDS[stage]
    same = (*kind.same, *(f"config.{field}" for field in kind.same_config))
  first = seeds[0]
  for seed in seeds[1:]:
    for field in same:
      ours, theirs = (
        compared_measures.part_of(each, field) for each in (seed, first)
      )
      if ours != theirs:
        raise ValueError(
          f"--run={name}: {field} is {ours!r} in {seed['directory']}, "
          f"expected {theirs!r} as in {first['directory']}"
        )


if __name__ == "__main__":
  cli.run_main(main)
