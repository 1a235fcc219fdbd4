"""Goals that recorded rows may be given: what their episodes reached later."""

import numpy as np

from data_tools.game import goal_labels
from data_tools.game import goals as predicates
from data_tools.records import loader
from experiments.training import latents
from pokedreamer_jax.behaviour import goals
from pokedreamer_jax.config import run as config_lib


def candidates(
  config: config_lib.Config,
  index: loader.EpisodeIndex,
  places: list[int],
  numbering: goal_labels.Numbering,
) -> np.ndarray:
  """Goals for the rows that `latents.encode` makes of some episodes.

  Args:
    config: gives `goals` and the seed.
    index: the episodes.
    places: which of them.
    numbering: of goals; grows.

  Returns:
    Numbers `[M, 1 + goals.draws]` int32 for `goal_draws.draw`.

  Raises:
    ValueError: a goal that dreams cannot tell from others.
  """
  cfg = config.goals
  mix = {kind: weight for kind, weight in cfg.kind_weights.items() if weight}
  rows = [np.zeros((0, 1 + cfg.draws), np.int32)]
  order = [p for s in latents.share_out(config, index, places) for p in s]
  for place in order:
    length = int(index.lengths[place])
    steps = index.read(place, 0, length, predicates.FIELDS)
    # By the episode, not by its place: the same goals whatever is beside it.
    name = index.headers[place].episode_id.encode()
    rng = np.random.default_rng([config.seed, 0x60A1, *name])
    columns = [goal_labels.milestones(steps, numbering)[0].number]
    labels = goal_labels.draw_labels(
      steps, rng, cfg.horizon, mix, numbering, cfg.draws
    )
    columns += [drawn.number for drawn in labels]
    rows.append(np.stack(columns, axis=1))
  goals.check_goals(config.world_model, numbering.goals[1:])
  return np.concatenate(rows)
