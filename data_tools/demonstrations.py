"""Demonstrations by people: records made from their input logs.

While somebody plays, only the log is written. Records come from playing it
again, which gives back every frame bit for bit. So a recording that is
interrupted, at any moment and in any way, keeps what was played.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import os
import pathlib
from typing import Any

import numpy as np

from data_tools import emulator as emulator_lib
from data_tools import episodes
from data_tools import generations
from data_tools import input_logs
from data_tools import records
from data_tools import roms
from pokedreamer_jax import specs

BEHAVIOUR = "human"
STEPS_WANTED = 90_000  # 10 hours of play at 2.5 steps a second

_HUMAN = specs.BEHAVIOURS.index(BEHAVIOUR)


def check(log: input_logs.Log, rom: roms.Rom, save_state: bytes | None) -> None:
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
  log: input_logs.Log,
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


def _episode_header(
  log: input_logs.Log, rom: roms.Rom
) -> records.EpisodeHeader:
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


def _map_name(place: int, rom: roms.Rom) -> str:
  if place < 0:
    return "no game running" if rom.has_ram_fields else "unknown game"
  return rom.map_names.get(place, f"map 0x{place:02X}")
