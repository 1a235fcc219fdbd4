"""Games that are entered once, and played on from by many agents.

What an agent remembers of an episode up to a recorded row does not depend on
its policy, for the recording chose what was pressed. So emulators, rewards and
world model are kept where a game is entered, and others of the same world model
go on from there: a look at a policy takes the steps that it plays, and not the
hundreds before.
"""

from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
from typing import Any

import numpy as np

from experiments.playing import entering


@dataclasses.dataclass(frozen=True)
class Kept:
  """`N` games where they are entered."""

  games: list[Any]  # of `vector.VectorEmulator.keep`
  state: Any  # `acting.ActState` before the rows
  row: Mapping[str, np.ndarray]  # step fields [N, ...] of the rows
  past: entering.Past  # before the rows
  env_steps: int  # that entering took of the emulators


@dataclasses.dataclass
class Again:
  """What measurements of agents of one world model and configuration share."""

  act: Callable[..., Any]  # of `acting.make_act_step`
  dream: Callable[..., Any]  # of `pokedreamer_jax.evaluation.honesty`
  kept: dict[int, Kept] = dataclasses.field(default_factory=dict)

  @property
  def entered_env_steps(self) -> int:
    """Emulator steps that all entering has taken."""
    return sum(kept.env_steps for kept in self.kept.values())


def moments(
  again: Again,
  at: int,
  agent: Any,
  act: Any,
  entries: Sequence[entering.Entry],
  setting: entering.Setting,
  seed: int = 0,
  goals: Any = None,
) -> tuple[entering.Past, Generator[entering.Moment]]:
  """As `entering.play`, from the rows on.

  Args:
    again: keeps what is entered for the first time.
    at: names the entries, their seed and their goals; equal ones are entered
      once.
    agent: as of `entering.play`, and so are all others.
    act: bound to the agent.
    entries: of the setting's index, one a game.
    setting: as for all agents.
    seed: of chance; games go on from the same states, under other keys than
      `entering.play` has.
    goals: vectors `[N, 64]`; None where policies read none.

  Returns:
    What the games were before, and their moments, all of them entered at the
    first.
  """
  if at not in again.kept:
    again.kept[at] = _enter(agent, act, entries, setting, seed, goals)
  kept = again.kept[at]
  return kept.past, _go_on(act, kept, setting, seed)


def _enter(agent, act, entries, setting, seed, goals) -> Kept:
  count = len(entries)
  past, before = entering.Past.none(count), entering.Past.none(count)
  games: list[Any] = [None] * count
  states: list[Any] = [None] * count
  rows: list[Any] = [None] * count
  played = entering.entered(agent, act, entries, setting, seed, goals)
  with contextlib.closing(played):
    for moment, emulators, states_before in played:
      now = sorted(states_before)
      here = emulators.keep(now) if now else []
      for number, game in zip(now, here, strict=True):
        games[number], states[number] = game, states_before[number]
        rows[number] = {k: v[number] for k, v in moment.row.items()}
        before.earned[number] = past.earned[number]
        before.level[number] = past.level[number]
      past = past.after(moment.row)
      if (moment.since >= 0).all():
        break
  row = {name: np.stack([each[name] for each in rows]) for name in rows[0]}
  steps = count * max(entry.row for entry in entries)
  return Kept(games, entering.stacked(states), row, before, steps)


def _go_on(
  act: Any, kept: Kept, setting: entering.Setting, seed: int
) -> Generator[entering.Moment]:
  import jax

  from data_tools.envs import vector
  from pokedreamer_jax.behaviour import acting

  count = len(kept.games)
  state, row = jax.tree.map(jax.numpy.copy, kept.state), kept.row
  key = jax.random.key(seed)
  with vector.VectorEmulator(
    setting.rom,
    num_envs=count,
    num_workers=min(setting.workers, count),
    episode_length=setting.limit + 2,
  ) as emulators:
    emulators.go_back(kept.games)
    for step in range(setting.limit + 1):
      state, chosen = act(
        state,
        row["frame"],
        acting.ram_of(row),
        row["is_first"],
        jax.random.fold_in(key, step),
      )
      yield entering.Moment(step, row, np.full(count, step), state)
      row = emulators.step(np.array(chosen, np.uint8))
