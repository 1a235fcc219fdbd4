"""Records as a Minari data set: Parquet, frames without loss.

    OUT/NAME-v0/data/metadata.json 0/ 1/ ...

Our row `t` holds the frame, what was received on arriving at it, and the action
chosen after it; Minari's step `t` is that action with what it led to. So an
episode of `T` rows has `T` observations and `T - 1` steps, and step `t` has
reward and end of row `t + 1`. The action of the last row was never executed and
stays behind; the fields that all episodes hold are `infos`.
Needs Minari: `pip install -r requirements-minari.txt`.
"""

from collections.abc import Callable
from collections.abc import Iterator
import pathlib
import re
from typing import Any

import numpy as np

from data_tools import cartridge
from data_tools.game import frame_codec
from data_tools.game import roms
from pokedreamer_jax import specs

DATA = "data"
FRAME_BYTES = specs.FRAME_HEIGHT * specs.FRAME_WIDTH * 3
# Measured on chapter one, 925, and some to spare; what moves more takes more.
STEP_BYTES = 1_000
_NAME = re.compile(r"[A-Za-z0-9][\w-]*-v\d+", re.ASCII)
_MEMORY = {field.name for field in specs.RAM_FIELDS}
_GAMES = {"chapter_one": "practice_small", "great_vale": "practice"}
# What a step of Minari has a place of its own for.
_ELSEWHERE = ("frame", "action")
_ARRAYS = ("observations", "actions", "rewards", "terminations", "truncations")


def library() -> Any:
  """The module `minari`.

  Raises:
    ValueError: it, or what it stores with, is not installed.
  """
  try:
    import minari
    import pyarrow  # noqa: F401
  except ImportError:
    raise ValueError(
      "minari or pyarrow is not installed: "
      "pip install -r requirements-minari.txt"
    ) from None
  return minari


def check(out: str, name: str) -> pathlib.Path:
  """The folder that is to be written.

  Raises:
    ValueError: a name that Minari does not take, or something is there.
  """
  if not _NAME.fullmatch(name):
    raise ValueError(
      f"--dataset_id={name}: expected letters, digits, '_' and '-', and a "
      "version, such as chapter_one-v0"
    )
  path = pathlib.Path(out, name)
  if path.exists():
    raise ValueError(f"{path}: is there already, expected another --dataset_id")
  return path


def write(
  folder: pathlib.Path,
  name: str,
  index: Any,
  weights: tuple[float, ...],
  about: dict[str, Any],
  update: Callable[[int], None] = lambda steps: None,
) -> list[str]:
  """Writes all episodes, one after the other.

  Args:
    folder: there already, empty.
    name: of the data set.
    index: a `data_tools.records.loader.EpisodeIndex`.
    weights: of the terms of the reward, `specs.REWARD_WEIGHTS`.
    about: further texts for its metadata.
    update: called with the steps that are done.

  Returns:
    Names of episodes of a single row, which hold no step and are left out.

  Raises:
    ValueError: a record is damaged, or no episode has a step.
  """
  library()
  from gymnasium import spaces
  from minari.dataset import minari_storage

  shape = (specs.FRAME_HEIGHT, specs.FRAME_WIDTH, 3)
  (folder / DATA).mkdir()
  storage = minari_storage.MinariStorage.new(
    folder / DATA,
    observation_space=spaces.Box(0, 255, shape, np.uint8),
    action_space=spaces.Discrete(specs.NUM_ACTIONS),
    env_spec=_env_spec({header.rom_sha1 for header in index.headers}),
    data_format="parquet",
    jpeg_encoding=False,  # a lossy picture is another game
  )
  version = library().__version__
  storage.update_metadata(
    {"dataset_id": name, "minari_version": version, **about}
  )
  short: list[str] = []

  def buffers() -> Iterator[Any]:
    done, number = 0, 0
    for place, header in enumerate(index.headers):
      length = int(index.lengths[place])
      if length < 2:
        short.append(header.episode_id)
        continue
      rows = index.read(place, 0, length)
      yield _buffer(number, header, rows, index.generation.lacking, weights)
      number += 1
      done += length
      update(done)

  storage.update_episodes(buffers())
  if len(short) == len(index):
    raise ValueError(f"{name}: no episode has a step")
  return short


def differences(
  folder: pathlib.Path, index: Any, weights: tuple[float, ...]
) -> list[str]:
  """Reads a data set back, and compares it with the records.

  Returns:
    A line for each array that is another one; none where nothing was lost.
  """
  from minari.dataset import minari_storage

  storage = minari_storage.MinariStorage.read(folder / DATA)
  long = [e for e in range(len(index)) if index.lengths[e] > 1]
  found = []
  if storage.total_episodes != len(long):
    found.append(f"{storage.total_episodes} episodes, expected {len(long)}")
  for number, episode in enumerate(long[: int(storage.total_episodes)]):
    rows = index.read(episode, 0, int(index.lengths[episode]))
    header = index.headers[episode]
    wanted = _buffer(number, header, rows, index.generation.lacking, weights)
    (read,) = storage.get_episodes([number])
    arrays = {n: (read[n], getattr(wanted, n)) for n in _ARRAYS}
    arrays |= {
      f"infos/{n}": (read["infos"].get(n), value)
      for n, value in wanted.infos.items()
    }
    found += [
      f"episode {header.episode_id}: {name} differs"
      for name, (one, other) in arrays.items()
      if one is None or not np.array_equal(one, np.asarray(other))
    ]
  return found


def _buffer(
  number: int,
  header: Any,
  rows: dict[str, np.ndarray],
  lacking: dict[str, int],
  weights: tuple[float, ...],
) -> Any:
  """An episode as Minari takes it; `infos` `[T, ...]`, the others as above."""
  from minari.data_collector import EpisodeBuffer

  known = header.rom_kind != roms.UNKNOWN
  kept = [
    field
    for field in specs.STEP_FIELDS
    if field.name not in (*_ELSEWHERE, *lacking)
    and (known or field.name not in _MEMORY)
  ]
  ended = rows["is_terminal"][1:]
  return EpisodeBuffer(
    id=number,
    seed=header.seed,
    options={
      "episode_id": header.episode_id,
      "behaviour": header.behaviour,
      "rom_sha1": header.rom_sha1,
      "start_state_sha1": header.start_state_sha1,
      "jitter_frames": header.jitter_frames,
    },
    observations=frame_codec.unpack_rgb(rows["frame"]),
    actions=rows["action"][:-1].astype(np.int64),
    rewards=specs.weighted_reward(rows["reward_terms"][1:], weights),
    terminations=ended,
    truncations=rows["is_last"][1:] & ~ended,
    # Numbers one a step as a list: Minari reads no array of them back.
    infos={
      f.name: rows[f.name] if f.shape else list(rows[f.name]) for f in kept
    },
  )


def _env_spec(sha1s: set[str]) -> Any:
  """The environment of one practice cartridge; None of several, or others."""
  import gymnasium

  from data_tools import env

  worlds = [cartridge.world(sha1) for sha1 in sha1s]
  game = _GAMES.get(worlds[0].name) if len(worlds) == 1 and worlds[0] else None
  return gymnasium.spec(env.GAMES[game]) if game else None
