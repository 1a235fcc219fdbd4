"""Games entered at recorded rows, an agent looking on, and played on.

The episode is played again from its start, so that what the agent remembers is
what it would have seen. A frame that is not the recorded one ends it: another
emulator, or another jitter, would make it another game.
"""

from collections.abc import Generator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from data_tools.game import emulator
from data_tools.game import roms
from data_tools.records import replay
from pokedreamer_jax import specs

STREAMS = 48  # emulators side by side


@dataclasses.dataclass(frozen=True)
class Entry:
  """Where a game is entered."""

  place: int  # of the episode in its index
  row: int


@dataclasses.dataclass(frozen=True)
class Setting:
  """What all agents share."""

  rom: roms.Rom
  index: Any  # `loader.EpisodeIndex` that the entries are of
  jitter_frames: int  # at most, as the episodes were recorded
  limit: int  # env steps that are played from a row on
  workers: int = 2


@dataclasses.dataclass(frozen=True)
class Moment:
  """One env step of `N` games, once the agent has seen it."""

  step: int  # env steps since the episodes began
  row: Mapping[str, np.ndarray]  # step fields [N, ...]
  since: np.ndarray  # [N] env steps since a game was entered, below 0 before
  # `acting.ActState` with its choice for this row. The next moment destroys
  # it: take copies.
  state: Any


@dataclasses.dataclass(frozen=True)
class Past:
  """What `N` episodes were before the first moment that is yielded of them."""

  earned: np.ndarray  # [N, 8] reward terms
  level: np.ndarray  # [N] highest of the first creature; 0: none yet

  @classmethod
  def none(cls, count: int) -> "Past":
    """Of episodes that are yielded from their start on."""
    shape = (count, specs.NUM_REWARD_TERMS)
    return cls(np.zeros(shape, np.float32), np.zeros(count, int))

  def after(self, row: Mapping[str, np.ndarray]) -> "Past":
    """With the next row of each."""
    level = row["party_level"][:, 0].astype(int)
    return Past(
      self.earned + row["reward_terms"], np.maximum(self.level, level)
    )


class Entered:
  """States of `N` games when they are entered, to dream on from."""

  def __init__(self, past: Past):
    self._states: list[Any] = [None] * len(past.level)
    self._earned = past.earned.copy()
    self._held = np.zeros_like(past.earned)

  def look(self, moment: Moment) -> None:
    """Takes a copy of the games that are entered now; call at every moment."""
    self._earned += moment.row["reward_terms"]
    for number in np.flatnonzero(moment.since == 0).tolist():
      self._states[number] = _one(moment.state, number)
      self._held[number] = self._earned[number]

  def states(self, of: slice = slice(None)) -> tuple[Any, Any]:
    """Of these games: `acting.ActState`, and earned reward terms `[N, 8]`."""
    import jax.numpy as jnp

    return stacked(self._states[of]), jnp.asarray(self._held[of])


def dream_key(seed: int) -> Any:
  """Of the dreams beside games that were played with a seed."""
  import jax

  return jax.random.key(seed + 1)


def places(index: Any, jitter_frames: int) -> list[int]:
  """Episodes that can be entered: those recorded with that jitter.

  Raises:
    ValueError: there is none.
  """
  found = [
    place
    for place, header in enumerate(index.headers)
    if header.jitter_frames == emulator.drawn_jitter(header.seed, jitter_frames)
  ]
  if not found:
    raise ValueError(
      f"collect.jitter_frames: {jitter_frames}, none of the {len(index)} "
      "held-out episodes was recorded so; expected that of the recording"
    )
  return found


def play(
  agent: Any,
  act: Any,
  entries: Sequence[Entry],
  setting: Setting,
  seed: int = 0,
  goals: Any = None,
) -> Generator[Moment]:
  """Plays `N` games side by side; whoever iterates may stop at any moment.

  Args:
    agent: an `experiments.runs.inputs.Agent`.
    act: its `acting.make_act`.
    entries: of the setting's index, one a game.
    setting: as for all agents.
    seed: of the agent's chance.
    goals: vectors `[N, 64]` that it pursues; None where it reads none.

  Yields:
    Every env step from the start of the episodes to `setting.limit` steps after
    the latest row; the same rows again and again where a game is over.

  Raises:
    ValueError: an episode cannot be entered, or the policy reads no goals.
  """
  for moment, _, _ in entered(agent, act, entries, setting, seed, goals):
    yield moment


def entered(
  agent: Any,
  act: Any,
  entries: Sequence[Entry],
  setting: Setting,
  seed: int = 0,
  goals: Any = None,
) -> Generator[tuple[Moment, Any, Mapping[int, Any]]]:
  """As `play`, for those who want to come back.

  Yields:
    Every moment, the emulators, and by number the agent's state before it in
    the games that are entered at it.
  """
  import jax

  from data_tools.envs import vector
  from pokedreamer_jax.behaviour import acting

  count = len(entries)
  headers = [setting.index.headers[entry.place] for entry in entries]
  starts = [
    replay.find_start(header, setting.index.generation.data_dir)
    for header in headers
  ]
  for header, start in zip(headers, starts, strict=True):
    replay.check_header(setting.rom, header, start)
  recorded = _recorded(entries, setting)
  state = acting.init_state(agent.config.world_model, count)
  if goals is not None:
    state = acting.pursuing(agent.config, state, goals)
  rows = np.array([entry.row for entry in entries])
  last = int(rows.max()) + setting.limit
  key = jax.random.key(seed)
  with vector.VectorEmulator(
    setting.rom,
    num_envs=count,
    num_workers=min(setting.workers, count),
    episode_length=last + 2,
    jitter_frames=setting.jitter_frames,
  ) as emulators:
    row = emulators.reset([header.seed for header in headers], starts)
    for t in range(last + 1):
      before = {}
      for number in np.flatnonzero(rows == t).tolist():
        _check_entered(row, recorded[number], number, t, headers[number])
        before[number] = _one(state, number)
      state, chosen = act(
        state,
        row["frame"],
        acting.ram_of(row),
        row["is_first"],
        jax.random.fold_in(key, t),
      )
      yield Moment(t, row, t - rows, state), emulators, before
      action = np.array(chosen, np.uint8)
      for number in np.flatnonzero(t < rows).tolist():
        action[number] = recorded[number]["action"][t]
      # What was played, which the recording chose before the row.
      state = dataclasses.replace(
        state, action_tm1=jax.numpy.asarray(action, "int32")
      )
      row = emulators.step(action)


def _one(state: Any, number: int) -> Any:
  """A copy of one game's part of an `acting.ActState`."""
  import jax

  return jax.tree.map(lambda leaf: np.asarray(leaf[number]), state)


def stacked(states: Sequence[Any]) -> Any:
  """The `acting.ActState` of games that were taken apart by `_one`."""
  import jax
  import jax.numpy as jnp

  return jax.tree.map(lambda *each: jnp.stack(each), *states)


def _recorded(
  entries: Sequence[Entry], setting: Setting
) -> list[Mapping[str, np.ndarray]]:
  """Actions and frames of each entry's episode up to its row."""
  read: dict[Entry, Mapping[str, np.ndarray]] = {}
  for entry in entries:
    if entry not in read:
      read[entry] = setting.index.read(
        entry.place, 0, entry.row + 1, ("action", "frame")
      )
  return [read[entry] for entry in entries]


def _check_entered(row, recorded, stream, number, header) -> None:
  """Raises ValueError where a game does not show the recorded row."""
  if not np.array_equal(row["frame"][stream], recorded["frame"][number]):
    raise ValueError(
      f"episode {header.episode_id}: row {number} is not what playing it again "
      "shows; was it recorded with another collect.jitter_frames?"
    )
