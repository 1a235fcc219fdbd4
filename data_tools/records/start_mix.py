"""Where episodes start: several states, each with its share of the episodes.

A mix is `NAME[=share]` with commas between; a missing share is 1. A person
names files, `<world>/<name>` of a practice cartridge, and `power_on`; in a
collection the same mix names SHA-1s, which say what was played wherever the
files lie. Used states are kept beside the shards, named by their contents, so
that an episode can be played again from there.
"""

from collections.abc import Mapping
import lzma
import math
import os
import pathlib
import re
import secrets

import numpy as np

from data_tools.game import emulator as emulator_lib
from data_tools.game import roms
from data_tools.game import save_states
from data_tools.players import policies
from data_tools.records import shards

POWER_ON = "power_on"
STATES_DIR = "states"
MOST_KEPT_BYTES = 64 << 20  # of all kept states, compressed; one has some kB

_SHA1 = re.compile(r"[0-9a-f]{40}")
_STREAM = 0x57A7  # keeps the choice of the start apart from other chance
# With the golden ratio and 1 linearly independent over the rationals: starts
# are spread evenly over the episodes of every policy, too.
_SILVER = math.sqrt(2) - 1


def parse(text: str) -> dict[str, float]:
  """Shares of a collection's mix by SHA-1; "" is power-on.

  Args:
    text: `SHA-1=share,power_on=share,...`; empty for no mix.

  Raises:
    ValueError: malformed, or something stands there twice.
  """
  found = {}
  for name, share in _items(text).items():
    if name != POWER_ON and not _SHA1.fullmatch(name):
      raise ValueError(
        f"start_states {name!r}: expected {POWER_ON} or a SHA-1 of 40 digits"
      )
    found["" if name == POWER_ON else name] = share
  return found


def state_of(text: str, seed: int, episode: int) -> str:
  """SHA-1 of the state that an episode starts from; "" is power-on.

  Any run of consecutive episodes holds the shares closely.
  """
  shares = parse(text)
  offset = np.random.default_rng([seed, _STREAM]).random()
  place = policies.pick(list(shares.values()), offset + episode * _SILVER)
  return list(shares)[place]


def resolve(text: str, rom: roms.Rom) -> tuple[str, dict[str, bytes]]:
  """Reads the states of a mix that a person wrote.

  Args:
    text: `power_on=0.5,great_vale/first_badge=0.25,PATH=0.25`.
    rom: the game that is to be played.

  Returns:
    The mix by SHA-1, and the states by SHA-1.

  Raises:
    ValueError: malformed, or a state that cannot be read or does not fit.
  """
  parts, states = [], {}
  with emulator_lib.Emulator(rom) as game:
    for name, share in _items(text).items():
      if name != POWER_ON:
        state = emulator_lib.read_save_state(name, rom)
        assert state is not None  # the name is not empty
        game.reset(0, state)
        name = save_states.sha1(state)
        states[name] = state
      parts.append(f"{name}={share:.6g}")
  mix = ",".join(parts)
  parse(mix)  # two files may hold one state
  return mix, states


def keep(
  data_dir: str | os.PathLike, states: Mapping[str, bytes], rom_sha1: str
) -> None:
  """Copies states beside the shards, named by their SHA-1, with stamps.

  Several collectors may do so at once: they write the same.

  Raises:
    ValueError: together with what is kept there they are too large.
  """
  folder = pathlib.Path(data_dir) / STATES_DIR
  for sha1, state in states.items():
    path = save_states.state_path(folder, sha1)
    if path.exists() and kept(data_dir, sha1) == state:
      continue
    packed = lzma.compress(state, lzma.FORMAT_XZ, preset=6)
    folder.mkdir(parents=True, exist_ok=True)
    size = sum(p.stat().st_size for p in folder.glob("*.xz"))
    if size + len(packed) > MOST_KEPT_BYTES:
      raise ValueError(
        f"start states in {folder}: more than {MOST_KEPT_BYTES >> 20} MiB"
      )
    stamp = save_states.stamp_values(
      save_states.Stamp(
        name=sha1,
        rom_sha1=rom_sha1,
        pyboy_version=emulator_lib.pyboy_version(),
        state_sha1=sha1,
        made_by={"kept_by": "collect_data"},
      )
    )
    shards.write_json(folder / (sha1 + save_states.STAMP_SUFFIX), stamp)
    temporary = folder / f"{sha1}.{secrets.token_hex(4)}.tmp"
    try:
      temporary.write_bytes(packed)
      shards.publish(temporary, path)
    finally:
      temporary.unlink(missing_ok=True)


def is_kept(data_dir: str | os.PathLike, sha1: str) -> bool:
  """Whether the state of this SHA-1 lies beside the records."""
  return _path(data_dir, sha1).exists()


def kept(data_dir: str | os.PathLike, sha1: str) -> bytes | None:
  """The state that episodes of a data directory name; None for power-on.

  Raises:
    ValueError: it is not there, or not what its name says.
  """
  if not sha1:
    return None
  path = _path(data_dir, sha1)
  state = save_states.read(path)
  if save_states.sha1(state) != sha1:
    raise ValueError(f"start state {path}: its contents are another state")
  return state


def _path(data_dir: str | os.PathLike, sha1: str) -> pathlib.Path:
  if not _SHA1.fullmatch(sha1):
    raise ValueError(f"start state {sha1!r}: no SHA-1")
  return save_states.state_path(pathlib.Path(data_dir) / STATES_DIR, sha1)


def _items(text: str) -> dict[str, float]:
  """Names and shares, which sum to 1."""
  shares: dict[str, float] = {}
  for item in text.split(",") if text else []:
    name, equals, number = item.strip().rpartition("=")
    if not equals:
      name, number = number, "1"
    try:
      share = float(number)
    except ValueError:
      share = math.nan
    if not name or not 0 < share < math.inf:
      raise ValueError(
        f"start_states {item!r}: expected NAME[=share] with a share above 0, "
        f"where NAME is {POWER_ON}, <world>/<name> or a file"
      )
    if name in shares:
      raise ValueError(f"start_states: {name!r} is there twice")
    shares[name] = share
  total = sum(shares.values())
  return {name: share / total for name, share in shares.items()}
