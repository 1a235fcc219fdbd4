"""Collects episodes with a pool of emulator processes.

Each worker writes its own shards, so there are no locks between them. What is
on disk already is not played again: the same call continues. Scripted players
act in the workers (`collect_pool`); learned ones act here, on all emulators at
once (`lockstep`).
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import os
import pathlib

from data_tools.collecting import files as collect_files
from data_tools.collecting import lockstep
from data_tools.collecting import pool as collect_pool
from data_tools.collecting import progress as collect_progress
from data_tools.collecting import worker as collect_worker
from data_tools.game import emulator as emulator_lib
from data_tools.game import roms
from data_tools.players import policies
from data_tools.records import episodes as episodes_lib
from data_tools.records import generations
from data_tools.records import start_mix

# Emulators side by side for each process, for learned players.
ENVS_PER_WORKER = 4


def make_collection(
  rom: roms.Rom,
  seed: int,
  episode_length: int,
  policy_mix: str,
  jitter_frames: int,
  save_state: bytes | None = None,
  start_states: str = "",
) -> episodes_lib.Collection:
  """Describes a collection; checks the mix against the ROM.

  Args:
    rom: the game.
    seed: of everything random in it.
    episode_length: env steps at most.
    policy_mix: as `policies.parse_mix` reads it.
    jitter_frames: most frames without input before an episode.
    save_state: where all episodes start; None for power-on.
    start_states: `SHA-1=share,...` in its place, see `start_mix`.

  Raises:
    ValueError: a policy is unknown or cannot play this ROM.
  """
  for item in policies.parse_mix(policy_mix):
    if not policies.is_learned(item.behaviour):
      policies.make_policy(item.behaviour, rom)
  return episodes_lib.Collection(
    rom_sha1=rom.sha1,
    rom_kind=rom.kind,
    start_state_sha1=emulator_lib.state_sha1(save_state),
    seed=seed,
    episode_length=episode_length,
    policy_mix=policy_mix,
    jitter_frames=jitter_frames,
    pyboy_version=emulator_lib.pyboy_version(),
    start_states=start_states,
  )


def collect(
  data_dir: str | os.PathLike,
  rom: roms.Rom,
  collection: episodes_lib.Collection,
  episodes: int,
  workers: int,
  save_state: bytes | None = None,
  shard_bytes: int = 64 << 20,
  shard_s: float = 60.0,
  progress: Callable[[collect_progress.Progress], None] = lambda _: None,
  stop: Callable[[], bool] = lambda: False,
  states: Mapping[str, bytes] | None = None,
  players: Mapping[str, Callable[[int], lockstep.BatchPolicy]] | None = None,
  share: collect_files.Share = collect_files.ALONE,
) -> collect_progress.Result:
  """Records episodes `0 .. episodes - 1` that are not recorded yet.

  Args:
    data_dir: shards go to its folder `shards`; made if missing.
    rom: the game.
    collection: what is played, as made by `make_collection`.
    episodes: how many there shall be in the end, of all collectors.
    workers: processes.
    save_state: the start state that `collection` names.
    shard_bytes: a shard is closed at this size before compression.
    shard_s: a shard is closed at this age.
    progress: called several times a second.
    stop: asked as often; True ends the call, with all complete episodes kept.
    states: by SHA-1, where `collection` names several.
    players: behaviour of the mix -> what makes that learned player for a
      number of streams.
    share: the episodes that this collector plays.

  Returns:
    What was done; counts are of this share.

  Raises:
    ValueError: bad arguments, too little disk, or another collector at work.
    OSError: the disk filled up; complete shards are kept.
    RuntimeError: workers keep dying, or one failed for a reason of its own.
  """
  if episodes < 1 or workers < 1:
    raise ValueError(
      f"episodes {episodes}, workers {workers}: expected at least 1"
    )
  emulator_lib.check_wait(collection.jitter_frames)
  numbers = share.numbers(episodes)
  starts = _starts(collection, save_state, states or {})
  directory = pathlib.Path(data_dir) / generations.SHARDS_DIR
  directory.mkdir(parents=True, exist_ok=True)
  with collect_files.Lock(directory, share) as locked:
    unfinished = collect_files.remove_unfinished(directory, share, locked)
    there = collect_files.recorded(data_dir, collection, numbers)
    missing = [number for number in numbers if number not in there]
    collect_files.check_space(
      directory, len(missing) * collection.episode_length
    )
    tally = collect_progress.Tally(
      directory, len(numbers), len(missing), collection.episode_length
    )
    task = collect_worker.Task(
      rom, starts, collection, directory, "", shard_bytes, shard_s
    )
    scripted, learned = _by_player(collection, missing)
    stopped = False
    for behaviour, theirs in learned.items():
      if behaviour not in (players or {}):
        raise ValueError(f"policy {behaviour!r}: nobody here can play it")
      stopped = stopped or lockstep.play(
        dataclasses.replace(task, prefix=share.writer_prefix()),
        theirs,
        (players or {})[behaviour],
        ENVS_PER_WORKER * workers,
        workers,
        tally,
        progress,
        stop,
      )
    if not stopped:
      pool = collect_pool.Pool(task, share, scripted, workers, tally)
      stopped = pool.run(progress, stop)
  return tally.result(stopped, unfinished)


def _starts(
  collection: episodes_lib.Collection,
  save_state: bytes | None,
  states: Mapping[str, bytes],
) -> dict[str, bytes | None]:
  """Every state that an episode of the collection may start from."""
  found: dict[str, bytes | None] = {"": None, **states}
  if save_state is not None:
    found[emulator_lib.state_sha1(save_state)] = save_state
  needed = start_mix.parse(collection.start_states)
  for sha1 in (collection.start_state_sha1, *needed):
    if sha1 not in found:
      raise ValueError(f"start state {sha1} of the collection was not given")
  return found


def _by_player(
  collection: episodes_lib.Collection, missing: list[int]
) -> tuple[list[int], dict[str, list[int]]]:
  """Episodes of scripted players, and those of each learned one."""
  scripted: list[int] = []
  learned: dict[str, list[int]] = {}
  for number in missing:
    behaviour = episodes_lib.plan(collection, number).behaviour
    if policies.is_learned(behaviour):
      learned.setdefault(behaviour, []).append(number)
    else:
      scripted.append(number)
  return scripted, learned
