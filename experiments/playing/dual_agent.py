"""Both systems on `N` games in lock-step: what one decision is.

A row arrives. The goal's own predicate judges whether the step reached it,
System 2 takes the row and may name another goal, then System 1 decides:
posterior, goal and actor in one jitted call. System 2 never holds that up, see
`pokedreamer_jax/planner/driver.py`. Each game has its own driver and its own
chance, so that neither depends on who plays beside it.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
import time
from typing import Any

import numpy as np

from data_tools.game import goals as goals_lib
from experiments.playing import play_episodes
from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import driver as driver_lib
from pokedreamer_jax.planner import progress as progress_lib
from pokedreamer_jax.planner import schema

NONE = goal_specs.NONE
_MOST_GOALS = schema.MOST_OPTIONS
_VALUE_EVERY = 10  # rows: a goal is stagnant after a hundred


@dataclasses.dataclass(frozen=True)
class Decision:
  """What was decided on a row."""

  actions: np.ndarray  # [N] uint8
  reached: np.ndarray  # [N] bool, goals that arriving at the row reached
  goals: tuple[goal_specs.Goal, ...]  # N, pursued from the row on
  planner_s: float  # seconds that System 2 took in this thread
  planner_cpu_s: float  # of these, processor time of this thread
  policy_s: float  # seconds of System 1


class DualAgent:
  """A policy under the goals of planners."""

  def __init__(
    self,
    agent: Any,
    drivers: Sequence[driver_lib.Driver],
    seeds: Sequence[int],
    greedy: bool = False,
    critic: Any = None,
  ):
    """Nothing is compiled or asked yet.

    Args:
      agent: an `experiments.runs.inputs.Agent`.
      drivers: of the games, `N`; none for a policy without goals.
      seeds: of System 1's chance in each game, `N`.
      greedy: take the most likely action.
      critic: parameters of the policy's critic, by which drivers are told how
        near goals are; None tells them nothing.

    Raises:
      ValueError: drivers, and a policy that reads no goals.
    """
    import jax

    from pokedreamer_jax.behaviour import acting

    count = len(seeds)
    self._acting, self._config = acting, agent.config
    self._act = acting.make_act(
      agent.config, agent.world_params, agent.actor_params, greedy, True
    )
    self._state = acting.init_state(agent.config.world_model, count)
    self._drivers = list(drivers)
    self._vectors = np.zeros((count, goal_embeddings.DIM), np.float32)
    self._arrays = np.repeat(NONE.to_array()[None], count, axis=0)
    self._goals = [NONE] * count
    self._judge = goals_lib.Judge(count)
    # The same of what planners named, to which the goals lead.
    self._errands = [NONE] * count
    self._errand_arrays = self._arrays.copy()
    self._errand_judge = goals_lib.Judge(count)
    self._critic, self._value = critic, None
    self._ages = np.zeros(count, np.int64)  # rows since an episode's first
    self._t = 0
    if drivers:
      self._pursue(range(count))
      if critic is not None:
        from pokedreamer_jax.behaviour import goal_values

        self._value, self._near = goal_values.make(agent.config)
        for i, driver in enumerate(self._drivers):
          driver.reach = functools.partial(self._reach, i)
        # Compiles as it will be called, so that no decision has to.
        self._state = jax.device_put(self._state, jax.devices()[0])
        self._ages[:] = _VALUE_EVERY
        self._values(np.ones(count, bool))
        self._reach(0, [NONE])
        self._ages[:] = 0
    keys = jax.vmap(jax.random.key)(
      np.array([seed % (1 << 32) for seed in seeds], np.uint32)
    )
    fold = jax.vmap(jax.random.fold_in, (0, None))
    self._keys_at = jax.jit(lambda t: fold(keys, t))

  def renew(self, game: int, driver: driver_lib.Driver) -> None:
    """Gives a game whose next row is the first of an episode a new driver."""
    self._drivers[game].close()
    self._drivers[game] = driver
    if self._value is not None:
      driver.reach = functools.partial(self._reach, game)
    self._pursue([game])
    self._note_errands()

  def decide(
    self,
    row: Mapping[str, np.ndarray],
    playing: np.ndarray,
    keys: Any = None,
    action_tm1: np.ndarray | None = None,
  ) -> Decision:
    """Decides on the next rows.

    Args:
      row: every step field `[N, ...]`.
      playing: `[N]` bool, games whose row is a new one.
      keys: `[N]` of System 1's chance on these rows; None is that of its
        seeds.
      action_tm1: `[N]`, what was pressed last; None is what was chosen.

    Raises:
      OSError: a trace cannot be written.
    """
    began, began_cpu = time.perf_counter(), time.thread_time()
    reached = self._judge.update(row, self._arrays) & playing
    done = self._errand_judge.update(row, self._errand_arrays) & playing
    self._ages[row["is_first"]] = 0
    values = self._values(playing)
    for i in np.flatnonzero(playing) if self._drivers else ():
      driver = self._drivers[i]
      fields = {name: row[name][i] for name in progress_lib.FIELDS}
      value = None if np.isnan(values[i]) else float(values[i])
      driver.step(
        *(fields, bool(reached[i]), value, row["frame"][i], bool(done[i]))
      )
    changed = [
      i
      for i, driver in enumerate(self._drivers)
      if driver.goal != self._goals[i]
    ]
    if changed:
      self._pursue(changed)
    self._note_errands()
    told, told_cpu = time.perf_counter(), time.thread_time()
    if action_tm1 is not None:
      import jax

      self._state = dataclasses.replace(
        self._state, action_tm1=jax.numpy.asarray(action_tm1, "int32")
      )
    self._state, actions = self._act(
      self._state,
      row["frame"],
      self._acting.ram_of(row),
      row["is_first"],
      self._keys_at(self._t) if keys is None else keys,
    )
    self._t += 1
    self._ages += 1
    return Decision(
      actions=np.asarray(actions, np.uint8),  # waits for the device
      reached=reached,
      goals=tuple(self._goals),
      planner_s=told - began,
      planner_cpu_s=told_cpu - began_cpu,
      policy_s=time.perf_counter() - told,
    )

  def _values(self, playing: np.ndarray) -> np.ndarray:
    """Of the goals that are pursued, `[N]`, on some rows; NaN on others.

    They are of the row before: this one has not been seen yet.
    """
    due = playing & (self._ages > 0) & (self._ages % _VALUE_EVERY == 0)
    if self._value is None or not due.any():
      return np.full(len(due), np.nan)
    state = self._state
    values = self._value(self._critic, state.model, state.progress, state.goal)
    return np.where(due, np.asarray(values), np.nan)

  def _reach(
    self, game: int, goals: Sequence[goal_specs.Goal]
  ) -> Sequence[float | None]:
    """How near goals are in a game; see `requests.Reach`."""
    unseen = self._value is None or not self._ages[game]
    if unseen or len(goals) > _MOST_GOALS:
      return [None] * len(goals)
    # Always so many: one shape compiles once.
    vectors = np.zeros((_MOST_GOALS, goal_embeddings.DIM), np.float32)
    vectors[: len(goals)] = goal_embeddings.embed_goals(goals)
    found = self._near(
      *(self._critic, self._state.model, self._state.progress, game, vectors)
    )
    return np.asarray(found)[: len(goals)].tolist()

  def _note_errands(self) -> None:
    """Takes over what drivers' planners named."""
    for i, driver in enumerate(self._drivers):
      if driver.errand != self._errands[i]:
        self._errands[i] = driver.errand
        self._errand_arrays[i] = driver.errand.to_array()

  def _pursue(self, games: Sequence[int]) -> None:
    """Takes over the goals of some games' drivers."""
    for i in games:
      goal = self._drivers[i].goal
      self._goals[i] = goal
      self._arrays[i] = goal.to_array()
      self._vectors[i] = goal_embeddings.embed_goal(goal)
    self._state = self._acting.pursuing(
      self._config, self._state, self._vectors.copy()
    )


@dataclasses.dataclass(frozen=True)
class Step:
  """A row of `N` games and what was decided on it."""

  t: int
  row: Mapping[str, np.ndarray]  # every step field [N, ...], arrived at
  playing: np.ndarray  # [N] bool, games that had not ended before
  decision: Decision


def play(
  dual: DualAgent,
  setting: play_episodes.Setting,
  pace: Callable[[], None] = lambda: None,
) -> Iterator[Step]:
  """Plays games from their start on.

  Args:
    dual: of as many games as the setting has seeds.
    setting: of the games.
    pace: called before each step of the emulators, which may take its time.

  Yields:
    Each row. On the last one of a game the action is never pressed.

  Raises:
    vector.Died: an emulator process is gone.
  """
  from data_tools.envs import vector

  count = len(setting.seeds)
  with vector.VectorEmulator(
    setting.rom,
    num_envs=count,
    num_workers=min(setting.workers, count),
    episode_length=setting.length,
    jitter_frames=setting.jitter_frames,
  ) as emulators:
    row = emulators.reset(setting.seeds, setting.save_state)
    playing = np.ones(count, bool)
    for t in range(setting.length):
      decision = dual.decide(row, playing)
      yield Step(t, row, playing, decision)
      playing = playing & ~row["is_last"]
      if not playing.any():
        return
      pace()
      row = emulators.step(decision.actions)
