"""Demonstrations by people: input logs, and the records made from them.

While somebody plays, only the log is written: a JSON line that says where the
episode began, then the name of one action a line. Records come from playing a
log again, which gives back every frame bit for bit. So a recording that is
interrupted, at any moment and in any way, keeps what was played.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Any
from typing import TextIO

import numpy as np

from data_tools import emulator as emulator_lib
from data_tools import episodes
from data_tools import generations
from data_tools import records
from data_tools import roms
from pokedreamer_jax import specs

BEHAVIOUR = "human"
LOG_SUFFIX = ".inputs"
STEPS_WANTED = 90_000  # 10 hours of play at 2.5 steps a second
FORMAT = 1

_HUMAN = specs.BEHAVIOURS.index(BEHAVIOUR)
_MOST_LOG_BYTES = 64 << 20
_SYNC_EVERY = 25  # actions, about ten seconds


@dataclasses.dataclass(frozen=True)
class LogHeader:
  """Where a demonstration began."""

  rom_sha1: str
  pyboy_version: str
  start_state_sha1: str  # "" for power-on
  seed: int
  jitter_frames: int  # frames that were run before the first row
  format: int = FORMAT


@dataclasses.dataclass(frozen=True)
class Log:
  """A demonstration as it was played."""

  header: LogHeader
  actions: np.ndarray  # [T - 1] uint8: none was chosen at the last row

  @property
  def digest(self) -> str:
    """Names the demonstration: the same inputs have the same name."""
    text = json.dumps(dataclasses.asdict(self.header), sort_keys=True)
    return hashlib.sha256(text.encode() + self.actions.tobytes()).hexdigest()[
      :16
    ]


class LogWriter:
  """Appends actions to a new log file, each at once."""

  def __init__(self, path: pathlib.Path, header: LogHeader):
    """Makes the file.

    Raises:
      FileExistsError: it is there already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    self._file: TextIO = open(path, "x", encoding="ascii")
    self._file.write(json.dumps(dataclasses.asdict(header)) + "\n")
    self._sync()
    self.count = 0

  def add(self, action: int) -> None:
    """Appends one action; the end of this process cannot lose it."""
    self._file.write(specs.ACTIONS[action] + "\n")
    self._file.flush()
    self.count += 1
    if self.count % _SYNC_EVERY == 0:  # nor, a while later, a power cut
      self._sync()

  def __enter__(self) -> "LogWriter":
    return self

  def __exit__(self, *error: object) -> None:
    self._file.close()

  def _sync(self) -> None:
    self._file.flush()
    os.fsync(self._file.fileno())


def write_log(path: pathlib.Path, log: Log) -> None:
  """Writes a whole log to a new file."""
  with LogWriter(path, log.header) as writer:
    for action in log.actions:
      writer.add(int(action))


def read_log(path: str | os.PathLike, default: LogHeader | None = None) -> Log:
  """Reads a log; a last line that was cut off is left out.

  Args:
    path: the file.
    default: for a log without a header line.

  Raises:
    ValueError: unreadable, no header, another format, or no such action.
  """
  try:
    with open(path, "rb") as file:
      data = file.read(_MOST_LOG_BYTES + 1)
    text = data.decode("ascii")
  except OSError as error:
    raise ValueError(f"input log {path}: {error.strerror}") from None
  except UnicodeDecodeError:
    raise ValueError(f"input log {path}: no text") from None
  if len(data) > _MOST_LOG_BYTES:
    raise ValueError(f"input log {path}: larger than 64 MiB")
  lines = text.split("\n")[:-1]  # what follows the last line end was cut off
  header, first = default, 0
  if lines and lines[0].startswith("{"):
    header, first = _header(path, lines[0]), 1
  if header is None:
    raise ValueError(f"input log {path}: no header line")
  numbers = {name: i for i, name in enumerate(specs.ACTIONS)}
  actions = np.zeros(len(lines) - first, np.uint8)
  for i, line in enumerate(lines[first:]):
    if line not in numbers:
      raise ValueError(
        f"input log {path}, line {first + i + 1}: {line[:40]!r}, expected one "
        f"of {list(specs.ACTIONS)}"
      )
    actions[i] = numbers[line]
  return Log(header, actions)


def check(log: Log, rom: roms.Rom, save_state: bytes | None) -> None:
  """Raises ValueError where a log cannot be played here."""
  for name, there, here in (
    ("rom_sha1", log.header.rom_sha1, rom.sha1),
    ("pyboy_version", log.header.pyboy_version, emulator_lib.pyboy_version()),
    (
      "start_state_sha1",
      log.header.start_state_sha1,
      emulator_lib.state_sha1(save_state),
    ),
  ):
    if there != here:
      raise ValueError(
        f"input log: {name} {there or 'power-on'}, here {here or 'power-on'}: "
        "it cannot be played again"
      )


def record(
  log: Log,
  rom: roms.Rom,
  save_state: bytes | None,
  directory: str | os.PathLike,
  prefix: str,
  progress: Callable[[int], None] = lambda steps: None,
) -> records.EpisodeEntry:
  """Plays a log and writes it as one episode, in a shard of its own.

  The episode ends where the log does, or earlier where the game is beaten.

  Args:
    log: what was played, one action at least.
    rom: the game.
    save_state: where it began; None for power-on.
    directory: where shards go; made if missing.
    prefix: of the shard's name, used by no other writer.
    progress: called with the steps done.

  Raises:
    ValueError: the log belongs elsewhere, or is empty.
    OSError: the shard cannot be written.
  """
  check(log, rom, save_state)
  if not len(log.actions):
    raise ValueError("input log: no actions in it")
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  entries: list[records.EpisodeEntry] = []
  with (
    emulator_lib.Emulator(rom) as emulator,
    records.ShardWriter(
      directory, prefix, committed=lambda _, done: entries.extend(done)
    ) as writer,
  ):
    emulator.replay_reset(log.header.jitter_frames, save_state)
    writer.begin(_episode_header(log, rom))
    summary, coverage, done = episodes.Summary(), Coverage(), 0
    length = len(log.actions) + 1
    for steps in episodes.play(emulator, _Tape(log.actions), 0, length):
      writer.write(steps)
      summary.add(steps)
      coverage.add(steps)
      done += len(steps["frame"])
      progress(done)
    writer.end(summary.to_dict() | {"map_steps": coverage.to_dict()})
    writer.commit()
  return entries[0]


def recorded(data_dir: str | os.PathLike) -> list[records.EpisodeEntry]:
  """Demonstrations on disk."""
  shards, _ = generations.survey(data_dir)
  return [
    entry
    for shard in shards
    for entry in shard.episodes
    if entry.header.behaviour == BEHAVIOUR
  ]


class Coverage:
  """Steps by map, chunk by chunk; -1 stands for "no game running"."""

  def __init__(self) -> None:
    self._steps: dict[int, int] = {}

  def add(self, steps: Mapping[str, np.ndarray]) -> None:
    """Takes the next chunk of steps `[T, ...]`."""
    places = np.where(steps["game_running"], steps["map_id"].astype(int), -1)
    for place, count in zip(
      *np.unique(places, return_counts=True), strict=True
    ):
      self._steps[int(place)] = self._steps.get(int(place), 0) + int(count)

  def to_dict(self) -> dict[str, int]:
    """Ready for JSON."""
    return {str(place): count for place, count in sorted(self._steps.items())}


def coverage_lines(
  entries: Sequence[records.EpisodeEntry],
  rom: roms.Rom,
  wanted: int = STEPS_WANTED,
) -> list[str]:
  """For a person: progress towards `wanted` steps, and steps by map."""
  total = sum(entry.length for entry in entries)
  by_map: dict[int, int] = {}
  for entry in entries:
    for place, count in entry.summary.get("map_steps", {}).items():
      by_map[int(place)] = by_map.get(int(place), 0) + count
  lines = [
    f"{len(entries)} demonstrations, {total:,} of {wanted:,} steps: "
    f"{100 * total / wanted:.1f} %"
  ]
  for place, count in sorted(by_map.items(), key=lambda item: -item[1]):
    name, share = _map_name(place, rom), 100 * count / total
    lines.append(f"  {name:<28} {count:>8,} steps {share:>5.1f} %")
  unseen = [n for i, n in rom.map_names.items() if i not in by_map]
  if rom.kind == roms.PRACTICE and unseen:
    lines.append(f"  not yet seen: {', '.join(unseen)}")
  return lines


class _Tape:
  """The policy that plays a log."""

  chosen_by = _HUMAN

  def __init__(self, actions: np.ndarray):
    self._actions = iter(actions.tolist())

  def reset(self, rng: np.random.Generator) -> None:
    pass

  def act(self, memory: Any, row: Any = None) -> int:
    return next(self._actions)


def _episode_header(log: Log, rom: roms.Rom) -> records.EpisodeHeader:
  return records.EpisodeHeader(
    collection=log.digest,  # each is a collection of its own
    episode=0,
    seed=log.header.seed,
    behaviour=BEHAVIOUR,
    rom_sha1=rom.sha1,
    rom_kind=rom.kind,
    start_state_sha1=log.header.start_state_sha1,
    jitter_frames=log.header.jitter_frames,
    pyboy_version=log.header.pyboy_version,
  )


def _header(path: str | os.PathLike, line: str) -> LogHeader:
  try:
    header = LogHeader(**json.loads(line))
    if header.format != FORMAT:
      raise ValueError(f"format {header.format}, this program reads {FORMAT}")
    if not (
      isinstance(header.jitter_frames, int) and header.jitter_frames >= 0
    ):
      raise ValueError(f"jitter_frames {header.jitter_frames!r}")
    if not (isinstance(header.seed, int) and header.seed >= 0):
      raise ValueError(f"seed {header.seed!r}")
  except (ValueError, TypeError) as error:
    raise ValueError(f"input log {path}, line 1: {error}") from None
  return header


def _map_name(place: int, rom: roms.Rom) -> str:
  if place < 0:
    return "no game running" if rom.has_ram_fields else "unknown game"
  return rom.map_names.get(place, f"map 0x{place:02X}")
