"""Which goals values are learned of, the rows they learn from, what is held."""

from collections.abc import Callable
import functools
from typing import Any

import jax
import numpy as np

from data_tools.game import goal_catalogue
from data_tools.game import goals as predicates
from data_tools.game import hindsight
from data_tools.records import loader
from experiments.runs import run_directory
from experiments.training import latents as encoding
from pokedreamer_jax import goal_specs
from pokedreamer_jax.behaviour import all_goals
from pokedreamer_jax.behaviour import goals as goals_lib
from pokedreamer_jax.behaviour import latents
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.evaluation import goal_values as evaluation

_CHUNK = 512  # rows judged at once
HORIZON = 50  # steps within which goals are reached or not


def choose(
  config: config_lib.Config, index: loader.EpisodeIndex, rom: Any
) -> tuple[list[goal_specs.Goal], list[str]]:
  """The goals of a cartridge that dreams can judge, and of tiles the foremost.

  Args:
    config: gives the tokens, and `all_goals.tiles`.
    index: training episodes, in which tiles are counted.
    rom: a `data_tools.game.roms.Rom`.

  Returns:
    Goals in a fixed order, and of each that is left out a line why.

  Raises:
    ValueError: no practice cartridge, or no goal is left.
  """
  wanted = goal_catalogue.catalogue(rom)
  if config.all_goals.tiles:
    wanted += _tiles(config, index)
  kept, left_out = [], []
  for goal in wanted:
    try:
      goals_lib.check_goals(config.world_model, [goal])
      kept.append(goal)
    except ValueError as error:
      left_out.append(f"{goal}: {str(error).partition(', expected one')[0]}")
  if not kept:
    raise ValueError(
      f"world_model.tokens: {config.world_model.tokens!r}, no goal of "
      f"{rom.path} can be judged by them, expected map at least"
    )
  return kept, left_out


def _tiles(
  config: config_lib.Config, index: loader.EpisodeIndex
) -> list[goal_specs.Goal]:
  """The tiles that were come to most often, by place."""
  counts: dict[goal_specs.Goal, int] = {}
  for _, steps in index.episodes(predicates.FIELDS):
    for _, goal in hindsight.hindsight(steps, ["tile"]):
      counts[goal] = counts.get(goal, 0) + 1
  place = lambda goal: goal.to_array().tolist()
  often = sorted(counts, key=lambda goal: (-counts[goal], place(goal)))
  judged = [goal for goal in often if _is_judged(config.world_model, goal)]
  return sorted((judged or often)[: config.all_goals.tiles], key=place)


def _is_judged(
  cfg: world_model_config.WorldModelConfig, goal: goal_specs.Goal
) -> bool:
  try:
    goals_lib.check_goals(cfg, [goal])
  except ValueError:
    return False
  return True


def encode(
  config: config_lib.Config,
  params: Any,
  index: loader.EpisodeIndex,
  split: str,
  run: run_directory.Run,
) -> latents.Latents:
  """Rows `[M]` of whole episodes, on the device; none where there are none."""
  places = encoding.choose_episodes(config, index)
  if not places:
    return latents.empty(config.world_model)
  encoded = encoding.encode_with_progress(
    config, params, index, places, f"encoding {split} episodes", run
  )
  return jax.device_put(latents.with_earned(encoded))


def check_stored(stored: Any, goals: np.ndarray, where: Any) -> None:
  """Compares the goals `[K, SIZE]` of a checkpoint with those asked for.

  Raises:
    ValueError: they are others, or stand elsewhere.
  """
  stored = np.asarray(stored)
  if np.array_equal(stored, goals):
    return
  known = {tuple(row) for row in stored.tolist()}
  other = [row for row in goals.tolist() if tuple(row) not in known]
  first = str(goal_specs.from_array(np.array(other[0]))) if other else "none"
  raise ValueError(
    f"{where}: values of {len(stored)} goals, asked for {len(goals)}, of which "
    f"it lacks {len(other)} (the first: {first}); expected the very ones, or "
    "another --workdir"
  )


def reached(
  config: config_lib.Config, rows: latents.Latents, goals: np.ndarray
) -> np.ndarray:
  """Whether the step that arrives at each row reaches goals, `[M, K]` bool."""
  judge, _ = _jitted(config)
  found = np.zeros((len(rows.action), len(goals)), bool)
  for low, index in _chunks(len(found) - 1):
    part = latents.take(rows, np.append(index, index[-1] + 1))
    found[low + 1 : low + 1 + _CHUNK] = np.asarray(judge(part, goals))[
      low - index[0] :
    ] > 0.5  # fmt: skip
  return found


def values(
  config: config_lib.Config, params: Any, rows: latents.Latents
) -> np.ndarray:
  """`V` of all rows, `[M, K]`."""
  _, value = _jitted(config)
  parts = [
    np.asarray(value(params, latents.take(rows, index)))[low - index[0] :]
    for low, index in _chunks(len(rows.action))
  ]
  return np.concatenate(parts)


def _chunks(count: int) -> list[tuple[int, np.ndarray]]:
  """First new row, and the rows, of chunks of one size; the last overlaps."""
  size = min(_CHUNK, count)
  return [
    (low, np.arange(size) + min(low, count - size))
    for low in range(0, count, _CHUNK)
  ]


@functools.cache
def _jitted(
  config: config_lib.Config,
) -> tuple[Callable[..., jax.Array], Callable[..., jax.Array]]:
  """Judge of rows and their values, compiled once a configuration."""

  def value(params, rows):
    state = latents.unpack(config.world_model, rows)
    progress = latents.progress(config.world_model, rows, state)
    inputs = all_goals.read(config, state, progress)
    return all_goals.values(config, params, inputs)

  judge = functools.partial(all_goals.judge_rows, config)
  return jax.jit(judge), jax.jit(value)


class Judge:
  """Holds values against held-out episodes."""

  def __init__(
    self,
    config: config_lib.Config,
    goals: list[goal_specs.Goal],
    trained: latents.Latents,
    held_out: latents.Latents,
  ):
    """Looks what both sides reached."""
    arrays = goal_specs.stack(goals)
    self._config, self._goals, self._rows = config, goals, held_out
    before = reached(config, trained, arrays)
    self._trained = before.sum(axis=0)
    self._base = evaluation.base_rates(
      before, np.asarray(trained.is_first), HORIZON
    )
    self._first = np.asarray(held_out.is_first)
    if len(self._first):
      self._reached = reached(config, held_out, arrays)

  def measure(self, params: Any) -> dict[str, Any]:
    """`evaluation.measure`, and what is said of each goal; {} without rows."""
    if not len(self._first):
      return {}
    value = values(self._config, params, self._rows)
    gamma = self._config.all_goals.gamma
    found = evaluation.measure(
      *(value, self._reached, self._first, self._goals, self._base),
      *(gamma, HORIZON),
    )
    of_goals = evaluation.reach(
      *(value, self._trained, self._reached.sum(axis=0), self._goals, gamma)
    )
    return {**found, "goals": of_goals}

  def quick(self, params: Any) -> dict[str, float]:
    """The areas under the curve alone, where there are any."""
    every = self.measure(params).get("all", {})
    names = ("auc", "auc_each")
    return {f"val/{n}": every[n] for n in names if every.get(n) is not None}
