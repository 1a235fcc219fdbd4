"""Records episodes of a policy that acts on all emulators at once.

The policy sees frames alone and runs here, in the parent; the emulators run in
the processes of a `VectorEmulator`. An environment that has ended begins the
next episode while the others play on. Seeds, jitter and chance of an episode
are functions of its number, so its rows do not depend on who played beside it.
"""

from collections.abc import Callable
import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
import secrets
import time
from typing import Any
from typing import Protocol

import numpy as np

from data_tools import collect as collect_lib
from data_tools import emulator as emulator_lib
from data_tools import episodes
from data_tools import generations
from data_tools import records
from data_tools import roms
from data_tools import vector
from pokedreamer_jax import specs

RANDOM = specs.BEHAVIOURS.index("random")
POLICY = specs.BEHAVIOURS.index("policy")


class BatchPolicy(Protocol):
  """Acts on `N` streams; remembers of each what it needs."""

  def act(
    self,
    frames: np.ndarray,
    is_first: np.ndarray,
    uniforms: np.ndarray | None = None,
  ) -> np.ndarray:
    """Actions `[N]` for packed frames `[N, 144, 40]`.

    A stream with `is_first` begins anew; `uniforms` `[N]` in [0, 1) is the
    chance of this step, None asks for the most likely actions.
    """


@dataclasses.dataclass(frozen=True)
class Collection:
  """What all episodes share; the same gives the same episodes."""

  policy: str  # names the weights, as in "sb3:0123456789ab"
  seed: int
  rom: roms.Rom
  episode_length: int = 512  # env steps at most, the first row included
  jitter_frames: int = 60
  eps: float = 0.0  # probability of a random action
  deterministic: bool = False  # the most likely actions
  save_state: bytes | None = None  # None for power-on

  def __post_init__(self):
    if self.episode_length < 2 or self.jitter_frames < 0 or self.seed < 0:
      raise ValueError(
        f"episode_length {self.episode_length}, jitter_frames "
        f"{self.jitter_frames}, seed {self.seed}: expected at least 2, 0 and 0"
      )
    if not 0 <= self.eps <= 1:
      raise ValueError(f"eps: {self.eps}, expected 0 to 1")

  @property
  def behaviour(self) -> str:
    """What episode headers call the policy."""
    parts = [self.policy]
    parts += [f"eps={self.eps:g}"] if self.eps else []
    parts += ["deterministic"] if self.deterministic else []
    return ":".join(parts)

  @property
  def digest(self) -> str:
    """Name of the collection."""
    identity = [
      *("lockstep 1", self.behaviour, self.seed, self.rom.sha1),
      *(self.episode_length, self.jitter_frames),
      *(emulator_lib.state_sha1(self.save_state), specs.SCHEMA_VERSION),
      emulator_lib.pyboy_version(),
    ]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]

  def header(self, episode: int) -> records.EpisodeHeader:
    """The header of an episode."""
    seed = int(np.random.default_rng([self.seed, episode]).integers(1 << 32))
    # As `Emulator.reset` draws them.
    jitter = np.random.default_rng(seed).integers(0, self.jitter_frames + 1)
    return records.EpisodeHeader(
      collection=self.digest,
      episode=episode,
      seed=seed,
      behaviour=self.behaviour,
      rom_sha1=self.rom.sha1,
      rom_kind=self.rom.kind,
      start_state_sha1=emulator_lib.state_sha1(self.save_state),
      jitter_frames=int(jitter),
      pyboy_version=emulator_lib.pyboy_version(),
    )


def collect(
  data_dir: str | os.PathLike,
  collection: Collection,
  make_policy: Callable[[int], BatchPolicy],
  num_episodes: int,
  num_envs: int,
  num_workers: int = 2,
  shard_bytes: int = 64 << 20,
  shard_s: float = 60.0,
  progress: Callable[[collect_lib.Progress], None] = lambda _: None,
  stop: Callable[[], bool] = lambda: False,
) -> collect_lib.Result:
  """Records episodes `0 .. num_episodes - 1` that are not recorded yet.

  Args:
    data_dir: shards go to its folder `shards`; made if missing.
    collection: what is played.
    make_policy: makes the policy for a number of streams.
    num_episodes: how many there shall be in the end.
    num_envs: emulators side by side.
    num_workers: processes that they are spread over.
    shard_bytes: a shard is closed at this size before compression.
    shard_s: a shard is closed at this age.
    progress: called after every step.
    stop: asked as often; True ends the call, with complete episodes kept.

  Raises:
    ValueError: bad arguments, too little disk, or another collector at work.
    OSError: the disk filled up; complete shards are kept.
    RuntimeError: an emulator process died; complete shards are kept.
  """
  if num_episodes < 1 or num_envs < 1 or num_workers < 1:
    raise ValueError(
      f"num_episodes {num_episodes}, num_envs {num_envs}, num_workers "
      f"{num_workers}: expected at least 1"
    )
  directory = pathlib.Path(data_dir) / generations.SHARDS_DIR
  directory.mkdir(parents=True, exist_ok=True)
  began_s = time.monotonic()
  with open(directory / ".lock", "w") as lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
      raise ValueError(f"another collector writes to {directory}") from None
    # What a killed collector left half-written.
    unfinished = sorted(directory.glob(f"*{records.TEMPORARY_SUFFIX}"))
    for path in unfinished:
      path.unlink()
    waiting = _missing(data_dir, collection, num_episodes)
    collect_lib.check_space(directory, len(waiting) * collection.episode_length)
    writer = records.ShardWriter(
      directory, f"v{secrets.token_hex(4)}", shard_bytes, shard_s
    )
    streams = _Streams(collection, waiting, num_episodes, num_envs, writer)
    if waiting:
      with writer:
        _play(streams, collection, make_policy, num_workers, progress, stop)
  return collect_lib.Result(
    new_episodes=streams.new_episodes,
    new_steps=streams.new_steps,
    seconds=time.monotonic() - began_s,
    workers_replaced=0,
    stopped=streams.playing,
    unfinished=tuple(path.name for path in unfinished),
  )


def _play(
  streams: "_Streams",
  collection: Collection,
  make_policy: Callable[[int], BatchPolicy],
  num_workers: int,
  progress: Callable[[collect_lib.Progress], None],
  stop: Callable[[], bool],
) -> None:
  """Steps all environments until nothing is left, or asked to stop."""
  with vector.VectorEmulator(
    collection.rom,
    streams.num_envs,
    num_workers,
    collection.episode_length,
    collection.jitter_frames,
  ) as emulators:
    policy = make_policy(streams.num_envs)
    rows = emulators.reset(streams.begin(), collection.save_state)
    while not stop():
      actions = streams.choose(policy, rows)
      progress(streams.progress())
      if not streams.playing:
        return
      rows = emulators.step(actions, streams.begin(), collection.save_state)


def _missing(
  data_dir: str | os.PathLike, collection: Collection, num_episodes: int
) -> list[int]:
  shards, _ = generations.survey(data_dir)
  recorded = {
    entry.header.episode
    for shard in shards
    for entry in shard.episodes
    if entry.header.collection == collection.digest
  }
  return [i for i in range(num_episodes) if i not in recorded]


@dataclasses.dataclass
class _Stream:
  """The episode that one environment is in."""

  header: records.EpisodeHeader
  rng: np.random.Generator
  rows: list[dict[str, np.ndarray]] = dataclasses.field(default_factory=list)


class _Streams:
  """Which episode every environment plays, and its rows so far."""

  def __init__(
    self,
    collection: Collection,
    waiting: list[int],
    num_episodes: int,
    num_envs: int,
    writer: records.ShardWriter,
  ):
    self._collection = collection
    self._waiting = waiting[::-1]  # the next episode is the last element
    self._num_episodes = num_episodes
    self._writer = writer
    self.num_envs = max(1, min(num_envs, len(waiting)))
    self._streams: list[_Stream | None] = [None] * self.num_envs
    self.new_episodes = 0
    self.new_steps = 0  # of complete episodes
    self._began_s = time.monotonic()

  @property
  def playing(self) -> bool:
    """Whether anything is left to play."""
    return bool(self._waiting) or any(self._streams)

  def progress(self) -> collect_lib.Progress:
    """Where the collection stands, episodes in progress included."""
    playing = [stream for stream in self._streams if stream is not None]
    steps = self.new_steps + sum(len(stream.rows) for stream in playing)
    left = len(self._waiting) + len(playing)
    return collect_lib.Progress(
      episodes=self._num_episodes - left,
      total_episodes=self._num_episodes,
      steps=steps,
      steps_per_s=steps / max(time.monotonic() - self._began_s, 1e-9),
      workers_replaced=0,
    )

  def begin(self) -> list[int | None]:
    """Gives free environments their next episodes; their seeds."""
    seeds: list[int | None] = [None] * len(self._streams)
    for i, stream in enumerate(self._streams):
      if stream is None and self._waiting:
        header = self._collection.header(self._waiting.pop())
        rng = episodes.policy_rng(header.seed)
        self._streams[i] = _Stream(header, rng)
        seeds[i] = header.seed
    return seeds

  def choose(
    self, policy: BatchPolicy, rows: dict[str, np.ndarray]
  ) -> np.ndarray:
    """Takes the rows arrived at; the actions `[N]` that follow them."""
    uniforms = np.zeros(len(self._streams))
    for i, stream in enumerate(self._streams):
      if stream is not None:
        uniforms[i] = stream.rng.random()
    chance = None if self._collection.deterministic else uniforms
    actions = policy.act(rows["frame"], rows["is_first"], chance).copy()
    for i, stream in enumerate(self._streams):
      if stream is None:
        actions[i] = specs.PASS
        continue
      row = {name: array[i] for name, array in rows.items()}
      row["behaviour"] = np.uint8(POLICY)
      # Both are drawn always, so that the stream does not depend on eps.
      noise, button = stream.rng.random(), stream.rng.integers(8)
      if noise < self._collection.eps:
        actions[i], row["behaviour"] = button, np.uint8(RANDOM)
      if row["is_last"]:
        actions[i] = specs.PASS
        row["behaviour"] = np.uint8(episodes.NOBODY)
      row["action"] = actions[i]
      stream.rows.append(row)
      if row["is_last"]:
        self._write(stream)
        self._streams[i] = None
    return actions

  def _write(self, stream: _Stream) -> None:
    summary = episodes.Summary()
    self._writer.begin(stream.header)
    for start in range(0, len(stream.rows), records.CHUNK_STEPS):
      part: list[dict[str, Any]] = stream.rows[
        start : start + records.CHUNK_STEPS
      ]
      steps = {
        field.name: np.stack([row[field.name] for row in part]).astype(
          field.dtype
        )
        for field in specs.STEP_FIELDS
      }
      self._writer.write(steps)
      summary.add(steps)
    self._writer.end(summary.to_dict())
    self.new_episodes += 1
    self.new_steps += len(stream.rows)
