"""An episode for a clip, and the same with other luck from some of its rows."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.runs import inputs
from pokedreamer_jax import specs
from pokedreamer_jax.config import run as config_lib


def play(
  config: config_lib.Config,
  agent: inputs.Agent | None,
  rom: Any,
  steps: int,
  save_state: bytes | None,
  player: str,
  seed: int,
  anchors: Sequence[int],
) -> tuple[dict[str, np.ndarray], np.ndarray]:
  """One real episode, and what luck would have made of it.

  Args:
    config: how the start is jittered.
    agent: who plays; None leaves it to `player`.
    rom: the game.
    steps: rows at most.
    save_state: start; None for power-on.
    player: a scripted policy.
    seed: of start and player.
    anchors: rows, ascending; from each on the game is played again with the
      same buttons and other luck, up to the next one. Later ones than the
      episode has count for nothing.

  Returns:
    Step fields `[T, ...]`, and frames `[T, 144, 40]` of the other games; the
    real ones up to the first anchor.
  """
  from data_tools.game import emulator as emulator_lib
  from data_tools.players import policies
  from data_tools.records import episodes

  with emulator_lib.Emulator(rom) as emulator:
    policy: policies.Policy
    if agent is None:
      policy = policies.make_policy(player, rom)
    else:
      policy = _AgentPolicy(agent, emulator, seed)
    kept = _Keeper(policy, emulator, anchors)
    emulator.reset(seed, save_state, config.collect.jitter_frames)
    chunks = list(episodes.play(emulator, kept, seed, steps))
    rows = {
      name: np.concatenate([chunk[name] for chunk in chunks])
      for name in chunks[0]
    }
    return rows, other_luck(emulator, kept.states, rows)


def other_luck(
  emulator: Any, states: Mapping[int, bytes], rows: Mapping[str, np.ndarray]
) -> np.ndarray:
  """Frames `[T, 144, 40]` of games that part from the real one in some rows.

  As `replay.branches`: a frame of waiting, so that the game's random numbers
  differ, and then the recorded actions.

  Args:
    emulator: of the game.
    states: the machine's state at each of those rows.
    rows: `frame` and `action` `[T, ...]`.
  """
  frames = rows["frame"].copy()
  starts = [row for row in sorted(states) if row < len(frames)]
  ends = [*starts[1:], len(frames) - 1]
  for start, end in zip(starts, ends, strict=True):
    emulator.resume(states[start], wait_frames=1)
    for row in range(start, end):
      emulator.step(int(rows["action"][row]))
      frames[row + 1] = emulator.frame()
  return frames


class _Keeper:
  """A policy that keeps the machine's state in some rows."""

  def __init__(self, policy: Any, emulator: Any, anchors: Sequence[int]):
    self._policy, self._emulator = policy, emulator
    self._anchors = frozenset(anchors)
    self.chosen_by = policy.chosen_by

  def reset(self, rng: np.random.Generator) -> None:
    self._policy.reset(rng)
    self._row = 0
    self.states: dict[int, bytes] = {}

  def act(self, memory: Any, row: Any = None) -> int:
    if self._row in self._anchors:
      self.states[self._row] = self._emulator.save_state()
    self._row += 1
    action = self._policy.act(memory, row)
    self.chosen_by = self._policy.chosen_by
    return action


class _AgentPolicy:
  """A learned policy in the shape of a scripted one.

  It looks at its emulator's screen and memory by itself, for one episode.
  """

  chosen_by = specs.BEHAVIOURS.index("policy")

  def __init__(self, agent: inputs.Agent, emulator: Any, seed: int):
    import jax

    from data_tools.records import episodes
    from pokedreamer_jax.behaviour import acting

    self._act = acting.make_act(
      agent.config, agent.world_params, agent.actor_params
    )
    self._ram_of = acting.ram_of
    self._state = acting.init_state(agent.config.world_model, 1)
    self._key = jax.random.key(seed)
    self._step = 0
    self._emulator = emulator
    self._reader = episodes.RowReader(emulator.rom)

  def reset(self, rng: np.random.Generator) -> None:
    del rng  # chance comes from the agent's own key

  def act(self, memory: Any, row: Any = None) -> int:
    del memory, row
    import jax

    read = self._reader.read(
      self._emulator.frame()[None], self._emulator.ram()[None]
    )
    self._state, action = self._act(
      self._state,
      read["frame"],
      self._ram_of(read),
      read["is_first"],
      jax.random.fold_in(self._key, self._step),
    )
    self._step += 1
    return int(np.asarray(action)[0])
