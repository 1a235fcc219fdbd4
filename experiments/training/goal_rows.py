"""Goals that recorded rows may be given: what their episodes reached later."""

import numpy as np

from data_tools.game import goal_labels
from data_tools.game import goals as predicates
from data_tools.game import near_goals
from data_tools.records import loader
from experiments.training import latents
from pokedreamer_jax.behaviour import goals
from pokedreamer_jax.config import run as config_lib


def goals_nearby(
  config: config_lib.Config,
  index: loader.EpisodeIndex,
  places: list[int],
  numbering: goal_labels.Numbering,
) -> np.ndarray:
  """Cells and doors nearby for the same rows, `[M, goals.draws]` int32.

  Numbers of goals to which somebody has walked on from the row's cell; 0 where
  nobody has. Arguments and errors are those of `candidates`.
  """
  cfg, near = config.goals, near_goals.NearGoals()
  order = [p for s in latents.share_out(config, index, places) for p in s]
  read = lambda place: index.read(
    place, 0, int(index.lengths[place]), predicates.FIELDS
  )
  for place in order:
    near.add(read(place))
  rows = [np.zeros((0, cfg.draws), np.int32)]
  for place in order:
    name = index.headers[place].episode_id.encode()
    rng = np.random.default_rng([config.seed, 0xEA12, *name])
    drawn = near.draw(read(place), rng, cfg.walk_steps, cfg.draws)
    numbers = [[numbering.number(goal) for goal in row] for row in drawn]
    rows.append(np.array(numbers, np.int32).reshape(-1, cfg.draws))
  goals.check_goals(config.world_model, numbering.goals[1:])
  return np.concatenate(rows)


def candidates(
  config: config_lib.Config,
  index: loader.EpisodeIndex,
  places: list[int],
  numbering: goal_labels.Numbering,
) -> tuple[np.ndarray, np.ndarray]:
  """Goals for the rows that `latents.encode` makes of some episodes.

  Args:
    config: gives `goals` and the seed.
    index: the episodes.
    places: which of them.
    numbering: of goals; grows.

  Returns:
    Numbers `[M, 1 + goals.draws]` int32 for `goal_draws.draw`, and for each row
    another one `[M]` on the same cell.

  Raises:
    ValueError: a goal that dreams cannot tell from others.
  """
  cfg = config.goals
  mix = {kind: weight for kind, weight in cfg.kind_weights.items() if weight}
  rows = [np.zeros((0, 1 + cfg.draws), np.int32)]
  cells = [np.zeros((0, len(predicates.CELL)), np.int64)]
  order = [p for s in latents.share_out(config, index, places) for p in s]
  for place in order:
    length = int(index.lengths[place])
    steps = index.read(place, 0, length, predicates.FIELDS)
    # By the episode, not by its place: the same goals whatever is beside it.
    name = index.headers[place].episode_id.encode()
    rng = np.random.default_rng([config.seed, 0x60A1, *name])
    name_next = goal_labels.errands if cfg.errands else goal_labels.milestones
    columns = [name_next(steps, numbering)[0].number]
    labels = goal_labels.draw_labels(
      steps, rng, cfg.horizon, mix, numbering, cfg.draws
    )
    columns += [drawn.number for drawn in labels]
    rows.append(np.stack(columns, axis=1))
    cells.append(
      np.stack([steps[n].astype(np.int64) for n in predicates.CELL], axis=1)
    )
  goals.check_goals(config.world_model, numbering.goals[1:])
  return np.concatenate(rows), _neighbours(np.concatenate(cells), config.seed)


def _neighbours(cells: np.ndarray, seed: int) -> np.ndarray:
  """For each of `cells` `[M, ...]` the number `[M]` of another equal one.

  A random round through all that are equal; a cell that comes once has none
  but itself.
  """
  rng = np.random.default_rng([seed, 0xCE11])
  _, kind = np.unique(cells, axis=0, return_inverse=True)
  kind = kind.reshape(-1)
  shuffled = rng.permutation(len(kind))
  order = shuffled[np.argsort(kind[shuffled], kind="stable")]
  following = np.roll(order, -1)
  # The last of a kind goes back to its first.
  begins = np.flatnonzero(np.diff(kind[order], prepend=-1))
  ends = np.append(begins[1:], len(order)) - 1
  following[ends] = order[begins]
  found = np.empty(len(kind), np.int32)
  found[order] = following
  return found
