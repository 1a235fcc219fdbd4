"""A policy that the offline planner leads, as a player that is recorded.

Each stream has a planner of its own, and a new one for each episode: what is
played depends on the episode alone, as `data_tools.collecting.lockstep` asks.
"""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.playing import dual_agent
from experiments.playing import planners
from experiments.runs import inputs
from pokedreamer_jax.planner import driver as driver_lib
from pokedreamer_jax.planner import knowledge as knowledge_lib


def maker(
  directory: str,
  step: int | None,
  knowledge: knowledge_lib.Knowledge,
  map_names: Mapping[int, str],
  greedy: bool,
) -> Callable[[int], "PlannedPlayer"]:
  """What makes the player for a number of streams.

  Args:
    directory: run directory of a policy.
    step: its checkpoint; None is the newest.
    knowledge: of the planner.
    map_names: map -> name.
    greedy: whether the most likely actions are taken.

  Raises:
    ValueError: the policy reads no goals, or the planner knows nothing.
  """
  planners.check_reads_goals(directory)
  if not knowledge.maps:
    raise ValueError(
      "policy :planner: a planner that knows nothing of this game, expected "
      "--add_to with records of it, or --knowledge"
    )
  agent = inputs.load_player(directory, step)
  critic = inputs.load_critic(directory, step)
  choice = planners.suited(planners.choose("offline", "", ""), directory)

  def make_driver() -> driver_lib.Driver:
    return planners.make(
      choice, knowledge, map_names, None, {}, lambda line: None
    )

  def make(count: int) -> PlannedPlayer:
    return PlannedPlayer(agent, critic, make_driver, count, greedy)

  return make


class PlannedPlayer:
  """Both systems on `N` streams."""

  def __init__(
    self,
    agent: Any,
    critic: Any,
    make_driver: Callable[[], driver_lib.Driver],
    count: int,
    greedy: bool,
  ):
    """Nothing is played yet.

    Args:
      agent: an `experiments.runs.inputs.Agent`.
      critic: of its policy, or None.
      make_driver: gives a driver for an episode.
      count: `N`.
      greedy: whether the most likely actions are taken.
    """
    self._make_driver = make_driver
    self._dual = dual_agent.DualAgent(
      agent, [make_driver() for _ in range(count)], range(count), greedy, critic
    )
    self._used = np.zeros(count, bool)  # drivers that have seen rows
    self._playing = np.zeros(count, bool)

  def act(
    self,
    rows: Mapping[str, np.ndarray],
    action_tm1: np.ndarray,
    uniforms: np.ndarray | None = None,
  ) -> np.ndarray:
    """See `lockstep.BatchPolicy`."""
    from pokedreamer_jax.behaviour import acting

    first = rows["is_first"]
    for stream in np.flatnonzero(first & self._used).tolist():
      self._dual.renew(stream, self._make_driver())
    playing = first | self._playing
    keys = acting.keys_of(uniforms, len(action_tm1))
    decision = self._dual.decide(rows, playing, keys, action_tm1)
    self._used |= playing
    self._playing = playing & ~rows["is_last"]
    return decision.actions
