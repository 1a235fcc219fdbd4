"""Demonstrations by people: records made from their input logs.

While somebody plays, only the log is written. Records come from playing it
again, which gives back every frame bit for bit. So a recording that is
interrupted, at any moment and in any way, keeps what was played.
"""

from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import os
import pathlib
from typing import Any

import numpy as np

from data_tools.game import emulator as emulator_lib
from data_tools.game import input_logs
from data_tools.game import roms
from data_tools.records import episodes
from data_tools.records import generations
from data_tools.records import shards as shards_lib
from pokedreamer_jax import specs

BEHAVIOUR = "human"
STEPS_PER_HOUR = 9_000  # 2.5 steps a second
STEPS_WANTED = 10 * STEPS_PER_HOUR

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
) -> shards_lib.EpisodeEntry:
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
  entries: list[shards_lib.EpisodeEntry] = []
  with (
    emulator_lib.Emulator(rom) as emulator,
    shards_lib.ShardWriter(
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
    writer.end(summary.to_dict() | coverage.to_dict())
    writer.commit()
  return entries[0]


def recorded(data_dir: str | os.PathLike) -> list[shards_lib.EpisodeEntry]:
  """Demonstrations on disk."""
  shards, _ = generations.survey(data_dir)
  return [
    entry
    for shard in shards
    for entry in shard.episodes
    if entry.header.behaviour == BEHAVIOUR
  ]


class Coverage:
  """Steps by segment of the game, chunk by chunk.

  Segments are maps, numbers of badges, and situations; where no game runs,
  -1 stands for the first two.
  """

  def __init__(self) -> None:
    self._steps: dict[str, Counter[str]] = {
      "map_steps": Counter(),
      "badge_steps": Counter(),
      "situation_steps": Counter(),
    }

  def add(self, steps: Mapping[str, np.ndarray]) -> None:
    """Takes the next chunk of steps `[T, ...]`."""
    running = steps["game_running"]
    badges = np.bitwise_count(steps["badges"])
    # The first that holds: a battle has menus, a menu has text around it.
    situation = np.select(
      [
        ~running,
        steps["in_battle"] > 0,
        steps["menu_open"],
        steps["dialog_open"],
      ],
      ["no game running", "battle", "menu", "text"],
      "walking",
    )
    for name, values in (
      ("map_steps", np.where(running, steps["map_id"].astype(int), -1)),
      ("badge_steps", np.where(running, badges.astype(int), -1)),
      ("situation_steps", situation),
    ):
      self._steps[name].update(str(value) for value in values)

  def to_dict(self) -> dict[str, dict[str, int]]:
    """Ready for JSON: kind of segment -> segment -> steps."""
    return {
      name: dict(sorted(counter.items()))
      for name, counter in self._steps.items()
    }


def coverage_lines(
  entries: Sequence[shards_lib.EpisodeEntry],
  rom: roms.Rom,
  wanted: int = STEPS_WANTED,
) -> list[str]:
  """For a person: progress towards `wanted` steps, and steps by segment.

  Recordings of before badges and situations were counted lack these.
  """
  total = sum(entry.length for entry in entries)
  lines = [
    f"{len(entries)} demonstrations, {total:,} of {wanted:,} steps: "
    f"{100 * total / wanted:.1f} %"
  ]
  by_map = _sum(entries, "map_steps")
  tables = {"by map": {_map_name(int(i), rom): n for i, n in by_map.items()}}
  if rom.has_ram_fields:
    tables["by badges held"] = {
      _badges_name(int(i)): n
      for i, n in sorted(_sum(entries, "badge_steps").items())
    }
    tables["by situation"] = _sum(entries, "situation_steps")
  for title, table in tables.items():
    if table:
      lines.append(title)
    for name, count in table.items():
      hours, share = count / STEPS_PER_HOUR, 100 * count / total
      lines.append(
        f"  {name:<28} {count:>8,} steps {hours:>6.2f} h {share:>5.1f} %"
      )
  unseen = [n for i, n in rom.map_names.items() if str(i) not in by_map]
  if rom.kind == roms.PRACTICE and unseen:
    lines.append(f"  maps not yet seen: {', '.join(unseen)}")
  return lines


def _sum(
  entries: Sequence[shards_lib.EpisodeEntry], name: str
) -> dict[str, int]:
  """One table over all demonstrations, the most steps first."""
  counter: Counter[str] = Counter()
  for entry in entries:
    counter.update(entry.summary.get(name, {}))
  return dict(counter.most_common())


def _badges_name(count: int) -> str:
  return "no game running" if count < 0 else f"{count} badges"


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
) -> shards_lib.EpisodeHeader:
  return shards_lib.EpisodeHeader(
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
