"""Records episodes of a policy that acts on all emulators at once.

The policy runs here, in the parent; the emulators run in the processes of a
`VectorEmulator`. An environment that has ended begins the next episode while
the others play on. Seeds, jitter and chance of an episode are functions of its
number, so its rows do not depend on who played beside it, as far as the policy
treats its streams apart.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import shutil
from typing import Any
from typing import Protocol

import numpy as np

from data_tools.collecting import files as collect_files
from data_tools.collecting import progress as collect_progress
from data_tools.collecting import worker as collect_worker
from data_tools.envs import vector
from data_tools.players import policies
from data_tools.records import episodes
from data_tools.records import shards
from pokedreamer_jax import specs

RANDOM = specs.BEHAVIOURS.index("random")
POLICY = specs.BEHAVIOURS.index("policy")
MAX_FRUITLESS_DEATHS = 3  # in a row, before the collection gives up
_SPACE_EVERY_STEPS = 512


class BatchPolicy(Protocol):
  """Acts on `N` streams; remembers of each what it needs."""

  def act(
    self,
    rows: Mapping[str, np.ndarray],
    action_tm1: np.ndarray,
    uniforms: np.ndarray | None = None,
  ) -> np.ndarray:
    """Actions `[N]` for the rows arrived at, step fields `[N, ...]`.

    `action_tm1` `[N]` is what was played last, which may not be what the
    policy chose. A stream with `is_first` begins anew; `uniforms` `[N]` in
    [0, 1) is the chance of this step, None asks for the most likely actions.
    """


def play(
  task: collect_worker.Task,
  numbers: Sequence[int],
  make_policy: Callable[[int], BatchPolicy],
  num_envs: int,
  num_workers: int,
  tally: collect_progress.Tally,
  progress: Callable[[collect_progress.Progress], None] = lambda _: None,
  stop: Callable[[], bool] = lambda: False,
) -> bool:
  """Records some episodes of one learned policy.

  Args:
    task: what is played, and where shards go.
    numbers: of the episodes, at least one; their plans name one behaviour.
    make_policy: makes the policy for a number of streams.
    num_envs: emulators side by side, at most.
    num_workers: processes that they are spread over.
    tally: counts.
    progress: called after every step.
    stop: asked as often; True ends the call, with complete episodes kept.

  Returns:
    Whether it was asked to stop before the end.

  Raises:
    OSError: the disk filled up; complete shards are kept.
    RuntimeError: emulator processes keep dying; complete shards are kept.
  """

  def committed(shard: str, entries: list[shards.EpisodeEntry]) -> None:
    steps = sum(entry.length for entry in entries)
    tally.committed(shard, len(entries), steps)
    streams.written -= steps

  writer = shards.ShardWriter(
    task.directory, task.prefix, task.shard_bytes, task.shard_s, committed
  )
  streams = _Streams(task, numbers, min(num_envs, len(numbers)), writer, tally)
  deaths = 0
  with writer:
    while streams.playing and not stop():
      ended = streams.ended
      try:
        _play(task, streams, make_policy, num_workers, progress, stop)
      except vector.Died as error:
        # Its neighbours stand still with it: all of them begin again.
        streams.begin_again()
        tally.workers_replaced += error.processes
        deaths = 1 if streams.ended > ended else deaths + 1
        if deaths >= MAX_FRUITLESS_DEATHS:
          writer.commit()
          raise RuntimeError(f"{error}, {deaths} times in a row") from None
      except collect_worker.CollectionError:
        writer.commit()  # there is room for what is complete
        raise
  return streams.playing


def _play(
  task: collect_worker.Task,
  streams: "_Streams",
  make_policy: Callable[[int], BatchPolicy],
  num_workers: int,
  progress: Callable[[collect_progress.Progress], None],
  stop: Callable[[], bool],
) -> None:
  """Steps all environments until nothing is left, or asked to stop."""
  with vector.VectorEmulator(
    task.rom,
    streams.num_envs,
    num_workers,
    task.collection.episode_length,
    task.collection.jitter_frames,
  ) as emulators:
    policy = make_policy(streams.num_envs)
    rows = emulators.reset(*streams.begin())
    steps = 0
    while not stop():
      actions = streams.choose(policy, rows)
      progress(streams.progress())
      if not streams.playing:
        return
      rows = emulators.step(actions, *streams.begin())
      steps += 1
      if steps % _SPACE_EVERY_STEPS == 0:
        _check_disk(task)


def _check_disk(task: collect_worker.Task) -> None:
  free = shutil.disk_usage(task.directory).free
  if free < collect_files.FREE_DISK_FLOOR_BYTES:
    raise collect_worker.error_of(
      collect_worker.DISK_FULL,
      f"disk almost full ({free / 2**20:.0f} MiB free): stopped, complete "
      "shards are kept",
      task.directory,
    )


@dataclasses.dataclass
class _Stream:
  """The episode that one environment is in."""

  header: shards.EpisodeHeader
  rng: np.random.Generator
  rows: list[dict[str, np.ndarray]] = dataclasses.field(default_factory=list)


class _Streams:
  """Which episode every environment plays, and its rows so far."""

  def __init__(
    self,
    task: collect_worker.Task,
    numbers: Sequence[int],
    num_envs: int,
    writer: shards.ShardWriter,
    tally: collect_progress.Tally,
  ):
    self._task = task
    self._waiting = list(numbers)[::-1]  # the next episode is the last element
    self._writer = writer
    self._tally = tally
    behaviour = episodes.plan(task.collection, numbers[0]).behaviour
    self._eps = policies.eps_of(behaviour)
    self._deterministic = ":deterministic" in behaviour
    self._free(num_envs)
    self.written = 0  # steps of ended episodes that are not permanent yet
    self.ended = 0  # episodes

  def _free(self, num_envs: int) -> None:
    self.num_envs = num_envs
    self._streams: list[_Stream | None] = [None] * num_envs
    self._action_tm1 = np.full(num_envs, specs.PASS, np.uint8)

  @property
  def playing(self) -> bool:
    """Whether anything is left to play."""
    return bool(self._waiting) or any(self._streams)

  def progress(self) -> collect_progress.Progress:
    """Where the collection stands, episodes in progress included."""
    playing = [stream for stream in self._streams if stream is not None]
    open_steps = sum(len(stream.rows) for stream in playing)
    return self._tally.progress(self.written + open_steps)

  def begin(self) -> tuple[list[int | None], list[bytes | None]]:
    """Gives free environments their next episodes: seeds and start states."""
    seeds: list[int | None] = [None] * len(self._streams)
    states: list[bytes | None] = [None] * len(self._streams)
    collection = self._task.collection
    for i, stream in enumerate(self._streams):
      if stream is None and self._waiting:
        plan = episodes.plan(collection, self._waiting.pop())
        # As `Emulator.reset` draws them.
        jitter = np.random.default_rng(plan.seed).integers(
          0, collection.jitter_frames + 1
        )
        header = episodes.header(collection, plan, int(jitter))
        rng = episodes.policy_rng(plan.seed)
        self._streams[i] = _Stream(header, rng)
        seeds[i], states[i] = plan.seed, self._task.states[plan.start]
    return seeds, states

  def begin_again(self) -> None:
    """Puts the episodes in progress back, for new environments.

    There are no more of these than episodes: each has to begin with one.
    """
    lost = [s.header.episode for s in self._streams if s is not None]
    self._waiting += sorted(lost, reverse=True)
    self._free(min(self.num_envs, len(self._waiting)))

  def choose(
    self, policy: BatchPolicy, rows: dict[str, np.ndarray]
  ) -> np.ndarray:
    """Takes the rows arrived at; the actions `[N]` that follow them."""
    uniforms = np.zeros(len(self._streams))
    for i, stream in enumerate(self._streams):
      if stream is not None:
        uniforms[i] = stream.rng.random()
    chance = None if self._deterministic else uniforms
    actions = policy.act(rows, self._action_tm1, chance).copy()
    for i, stream in enumerate(self._streams):
      if stream is None:
        actions[i] = specs.PASS
        continue
      row = {name: array[i] for name, array in rows.items()}
      row["behaviour"] = np.uint8(POLICY)
      # Both are drawn always, so that the stream does not depend on eps.
      noise, button = stream.rng.random(), stream.rng.integers(8)
      if noise < self._eps:
        actions[i], row["behaviour"] = button, np.uint8(RANDOM)
      if row["is_last"]:
        actions[i] = specs.PASS
        row["behaviour"] = np.uint8(episodes.NOBODY)
      row["action"] = actions[i]
      stream.rows.append(row)
      if row["is_last"]:
        self._write(stream)
        self._streams[i] = None
    self._action_tm1 = actions.copy()
    return actions

  def _write(self, stream: _Stream) -> None:
    summary = episodes.Summary()
    self._writer.begin(stream.header)
    for start in range(0, len(stream.rows), shards.CHUNK_STEPS):
      part: list[dict[str, Any]] = stream.rows[
        start : start + shards.CHUNK_STEPS
      ]
      steps = {
        field.name: np.stack([row[field.name] for row in part]).astype(
          field.dtype
        )
        for field in specs.STEP_FIELDS
      }
      self._writer.write(steps)
      summary.add(steps)
    self.ended += 1
    self.written += len(stream.rows)
    self._tally.waiting -= 1
    self._tally.saw(*collect_progress.seen(summary))
    self._writer.end(summary.to_dict())  # may commit, and tell so
