"""Whether a directory may be taken for a new run, or a run continued so far."""

from collections.abc import Mapping
import pathlib
from typing import Any

from pokedreamer_jax import whole_files

# What a run leaves, by which a directory that has lost its config.json is told.
_TRACES = ("checkpoints", "metrics.jsonl", "result.json", "shards")

# Stage -> the field that says how much of it is to be done, in checkpoints'
# steps; of a collection, in episodes.
_AMOUNTS = {
  "world_model": "train.steps",
  "clone": "clone.steps",
  "goal_values": "all_goals.steps",
  "policy": "policy.updates",
  "collect": "collect.episodes",
}


def check_new(path: pathlib.Path) -> None:
  """Refuses a directory that holds a run of unknown configuration.

  Raises:
    ValueError: there are results in it, without a config.json.
  """
  found = [name for name in _TRACES if _holds_something(path / name)]
  # Others may have begun to fill a shared directory in between.
  if found and not (path / "config.json").exists():
    raise ValueError(
      f"{path}: holds {' and '.join(found)} but no config.json, so nobody "
      "knows what made them; put it back, or give another --workdir"
    )


def check_amount(
  path: pathlib.Path, stage: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
  """Refuses to be asked for less than is done.

  Args:
    path: run directory.
    stage: that it belongs to.
    old: recorded configuration, nested.
    new: configuration that is asked for.

  Raises:
    ValueError: a result or a checkpoint is there of more steps.
  """
  name = _AMOUNTS.get(stage)
  if name is None or _amount(new, name) >= _amount(old, name):
    return
  done = max(steps(path), default=0)
  if (path / "result.json").exists():
    done = max(done, _amount(old, name))
  asked = _amount(new, name)
  if asked < done:
    raise ValueError(
      f"{name}: {asked}, and {path} has done {done}: expected at least {done}, "
      "or another --workdir"
    )


def steps(path: pathlib.Path) -> list[int]:
  """Numbers of the checkpoints in a run directory, ascending."""
  return whole_files.steps(path / "checkpoints")[0]


def _amount(config: Mapping[str, Any], name: str) -> int:
  part, _, field = name.partition(".")
  value = config.get(part, {}).get(field, 0)
  return value if isinstance(value, int) else 0


def _holds_something(path: pathlib.Path) -> bool:
  return any(path.iterdir()) if path.is_dir() else path.exists()
