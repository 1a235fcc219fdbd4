"""What is played in a collection, and one episode of it.

Behaviour, seeds and jitter of episode `i` are functions of the collection and
of `i`: the result does not depend on which worker plays it, or when.
"""

from collections.abc import Iterator
import dataclasses
import hashlib
import json
from typing import Any

import numpy as np

from data_tools.game import clocks
from data_tools.game import emulator as emulator_lib
from data_tools.game import game_state
from data_tools.game import reward_streams
from data_tools.game import rewards
from data_tools.game import roms
from data_tools.players import policies
from data_tools.records import coverage
from data_tools.records import shards
from data_tools.records import start_mix
from pokedreamer_jax import specs

NOBODY = specs.BEHAVIOURS.index("none")


@dataclasses.dataclass(frozen=True)
class Collection:
  """What all episodes of a collection share."""

  rom_sha1: str
  rom_kind: str
  start_state_sha1: str  # "" for power-on
  seed: int
  episode_length: int  # env steps at most, the first row included
  policy_mix: str
  jitter_frames: int
  pyboy_version: str
  schema_version: int = specs.SCHEMA_VERSION
  start_states: str = ""  # `SHA-1=share,...` in place of `start_state_sha1`

  def __post_init__(self):
    if self.episode_length < 2:
      raise ValueError(
        f"episode_length: {self.episode_length}, expected at least 2"
      )
    if self.jitter_frames < 0 or self.seed < 0:
      raise ValueError(
        f"jitter_frames {self.jitter_frames}, seed {self.seed}: expected at "
        "least 0"
      )
    policies.parse_mix(self.policy_mix)
    start_mix.parse(self.start_states)
    if self.start_states and self.start_state_sha1:
      raise ValueError("start_states and start_state_sha1: expected one")

  @property
  def digest(self) -> str:
    """Name of the collection."""
    identity = dataclasses.asdict(self)
    if not self.start_states:  # a name that collections had before the field
      del identity["start_states"]
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

  @property
  def earlier(self) -> dict[int, str]:
    """Its names by earlier schema version: the same play, fewer fields."""
    return {
      version: dataclasses.replace(self, schema_version=version).digest
      for version in specs.READABLE_VERSIONS
      if version < self.schema_version
    }


@dataclasses.dataclass(frozen=True)
class Plan:
  """What decides one episode, beside its collection."""

  episode: int
  behaviour: str
  seed: int  # of the start; the policy draws from a stream beside it
  start: str = ""  # SHA-1 of the start state; "" is power-on


def plan(collection: Collection, episode: int) -> Plan:
  """The plan of episode `episode`."""
  mix = policies.parse_mix(collection.policy_mix)
  rng = np.random.default_rng([collection.seed, episode])
  return Plan(
    episode=episode,
    behaviour=policies.behaviour_of(mix, collection.seed, episode),
    seed=int(rng.integers(1 << 32)),
    start=start_mix.state_of(collection.start_states, collection.seed, episode)
    if collection.start_states
    else collection.start_state_sha1,
  )


def policy_rng(seed: int) -> np.random.Generator:
  """The stream that a policy draws from in an episode of this seed."""
  return np.random.default_rng([seed, 1])


def header(
  collection: Collection, episode: Plan, jitter_frames: int
) -> shards.EpisodeHeader:
  """The header that is stored with an episode."""
  return shards.EpisodeHeader(
    collection=collection.digest,
    episode=episode.episode,
    seed=episode.seed,
    behaviour=episode.behaviour,
    rom_sha1=collection.rom_sha1,
    rom_kind=collection.rom_kind,
    start_state_sha1=episode.start,
    jitter_frames=jitter_frames,
    pyboy_version=collection.pyboy_version,
  )


def play(
  emulator: emulator_lib.Emulator,
  policy: policies.Policy,
  seed: int,
  length: int,
) -> Iterator[dict[str, np.ndarray]]:
  """Plays from where the emulator stands; yields chunks `[T, ...]` of steps.

  Args:
    emulator: freshly reset.
    policy: reset here.
    seed: of the policy's chance.
    length: most steps; the episode ends earlier where the game is beaten.
  """
  policy.reset(policy_rng(seed))
  reader = RowReader(emulator.rom)
  end = rewards.EndOfGame()
  frames, rows, actions, choosers = [], [], [], []
  for t in range(length):
    row = emulator.ram().copy()
    rows.append(row)
    frames.append(emulator.frame())
    last = t == length - 1 or end.update(row)
    if last:
      actions.append(specs.PASS)
      choosers.append(NOBODY)
    else:
      actions.append(policy.act(emulator.memory))
      choosers.append(policy.chosen_by)
      emulator.step(actions[-1])
    if last or len(rows) == shards.CHUNK_STEPS:
      steps = reader.read(np.stack(frames), np.stack(rows))
      steps["action"] = np.array(actions, np.uint8)
      steps["behaviour"] = np.array(choosers, np.uint8)
      steps["is_last"][-1] = last
      yield steps
      frames, rows, actions, choosers = [], [], [], []
    if last:
      return


@dataclasses.dataclass(frozen=True)
class Playing:
  """One episode from power-on, to be played by another process."""

  rom: roms.Rom
  behaviour: str
  seed: int
  length: int
  jitter_frames: int


def play_whole(task: Playing) -> dict[str, np.ndarray]:
  """All steps `[<= length, ...]` of an episode."""
  with emulator_lib.Emulator(task.rom) as game:
    policy = policies.make_policy(task.behaviour, task.rom)
    game.reset(task.seed, None, task.jitter_frames)
    chunks = list(play(game, policy, task.seed, task.length))
  return {
    name: np.concatenate([chunk[name] for chunk in chunks])
    for name in chunks[0]
  }


class RowReader:
  """Turns frames and copied memory of one episode into steps, in order."""

  def __init__(self, rom: roms.Rom):
    self._rom = rom
    self._tracker = rewards.RewardTracker()
    self._is_first = True

  def read(self, frames: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The next `T` steps; nobody has chosen their actions yet.

    Args:
      frames: `[T, 144, 40]` uint8.
      rows: `[T, RAM_BYTES]` uint8.

    Returns:
      Every step field `[T, ...]`; `action` is `PASS`, `is_last` is set where
      the game is beaten.
    """
    state = _decoded(self._rom, rows)
    if self._rom.has_ram_fields:
      terms = self._tracker.update(rows, state)
    else:
      terms = rewards.no_rewards(len(frames))
    is_first = np.zeros(len(frames), bool)
    is_first[0] = self._is_first
    self._is_first = False
    return _steps(frames, state, terms, is_first)


class StreamReader:
  """Turns frames and memory of `N` episodes into steps, a row at a time.

  What `RowReader` makes of the rows of each, for less: numpy's calls cost as
  much for one row as for many.
  """

  def __init__(self, rom: roms.Rom, count: int):
    """Begins all episodes."""
    self._rom = rom
    self._rewards = reward_streams.RewardStreams(count)
    self._is_first = np.ones(count, bool)  # of the next row
    self._shows_first = np.ones(count, bool)  # of the last one

  def restart(self, number: int) -> None:
    """Episode `number` is over, and another begins."""
    self._rewards.restart(number)
    self._is_first[number] = True

  def keep(self, number: int) -> Any:
    """What is known of an episode after some rows, for `go_back`."""
    return self._rewards.keep(number) if self._rom.has_ram_fields else None

  def go_back(self, number: int, kept: Any) -> None:
    """Episode `number` is again where one was when it was kept."""
    if kept is not None:
      self._rewards.go_back(number, kept)
    self._is_first[number] = self._shows_first[number] = False

  def read(
    self, which: np.ndarray, frames: np.ndarray, rows: np.ndarray
  ) -> dict[str, np.ndarray]:
    """The next step of some episodes; nobody has chosen their actions yet.

    Args:
      which: episodes `[K]`, each once.
      frames: theirs, `[K, 144, 40]` uint8.
      rows: theirs, `[K, RAM_BYTES]` uint8.

    Returns:
      As `RowReader.read`, `[K, ...]`.
    """
    state = _decoded(self._rom, rows)
    if self._rom.has_ram_fields:
      terms = self._rewards.update(which, rows, state)
    else:
      terms = rewards.no_rewards(len(frames))
    is_first = self._is_first[which]
    self._is_first[which] = False
    self._shows_first[which] = is_first
    return _steps(frames, state, terms, is_first)

  def again(
    self, which: np.ndarray, frames: np.ndarray, rows: np.ndarray
  ) -> dict[str, np.ndarray]:
    """The step that some episodes stand at, once more; it pays nothing.

    Args:
      which: as of `read`, which was asked for the same.
      frames: see there.
      rows: see there.
    """
    state = _decoded(self._rom, rows)
    if self._rom.has_ram_fields:
      terms = self._rewards.again(which, state)
    else:
      terms = rewards.no_rewards(len(frames))
    return _steps(frames, state, terms, self._shows_first[which])


def _decoded(rom: roms.Rom, rows: np.ndarray) -> dict[str, np.ndarray]:
  """The fields `[T, ...]` of copied memory `[T, RAM_BYTES]`."""
  state = game_state.decode(rows)
  if rom.has_ram_fields:
    return state | clocks.decode(rows, rom.sha1, state["menu_open"])
  return state | clocks.nothing(len(rows))


def _steps(
  frames: np.ndarray,
  state: dict[str, np.ndarray],
  terms: dict[str, np.ndarray],
  is_first: np.ndarray,
) -> dict[str, np.ndarray]:
  """Every step field `[T, ...]`; nobody has chosen the actions yet."""
  return {
    "frame": frames,
    "action": np.full(len(frames), specs.PASS, np.uint8),
    "behaviour": np.full(len(frames), NOBODY, np.uint8),
    "is_first": is_first,
    "is_last": terms["is_terminal"].copy(),
    **terms,
    **state,
  }


class Summary:
  """Sums up an episode for reports, chunk by chunk."""

  def __init__(self) -> None:
    self._rewards = np.zeros(specs.NUM_REWARD_TERMS)
    self._tiles: set[tuple[int, int, int]] = set()
    self._battles = 0
    self._fighting = False
    self._coverage = coverage.Coverage()
    self._last: dict[str, Any] = {}

  def add(self, steps: dict[str, np.ndarray]) -> None:
    """Takes the next chunk of steps `[T, ...]`."""
    self._rewards += steps["reward_terms"].sum(axis=0)
    self._coverage.add(steps)
    running = steps["game_running"]
    places = zip(
      *(steps[name][running].tolist() for name in ("map_id", "y", "x")),
      strict=True,
    )
    self._tiles.update(places)
    fights = np.isin(steps["in_battle"], (game_state.WILD, game_state.TRAINER))
    before = np.concatenate([[self._fighting], fights[:-1]])
    self._battles += int((fights & ~before).sum())
    self._fighting = bool(fights[-1])
    self._last = {
      "badges": int(steps["badges"][-1]).bit_count(),
      "is_terminal": bool(steps["is_terminal"][-1]),
    }

  @property
  def places(self) -> set[tuple[int, int, int]]:
    """Tiles that were seen: map, y, x."""
    return self._tiles

  def to_dict(self) -> dict[str, Any]:
    """Reward sums by term, maps seen, tiles, battles and rows counted."""
    return {
      "reward_terms": dict(
        zip(specs.REWARD_TERMS, self._rewards.tolist(), strict=True)
      ),
      "maps": sorted({map_id for map_id, _, _ in self._tiles}),
      "tiles": len(self._tiles),
      "battles": self._battles,
      coverage.KEY: self._coverage.to_dict(),
      **self._last,
    }
