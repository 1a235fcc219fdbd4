"""Where the player stands, read from frames alone: a witness of its own.

Tokens are the model's own word, and a model without RAM tokens says nothing of
places. So a frame is compared with the real frames of training, and the place
of the nearest one is read off. Nearest means most 8x8 tiles alike. The reader
refuses to speak where it cannot tell: the nearest frames are not near, or do
not agree on one place, as in a battle, a menu or a fade.
"""

from collections.abc import Mapping
import dataclasses
import hashlib
import math

import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.evaluation import modes
from pokedreamer_jax.evaluation import scores

# Share of tiles that the nearest frame must have in common, and how much less
# others may have and still be asked. Measured on held-out frames: with 0.9 all
# places that were read were right in chapter one and 99 % in the great vale;
# with 0.8 a third of those read off new frames of chapter one were wrong.
_NEAR = 0.9
_ASKED = 0.01
# Different training frames that are kept: 168 MB. With fewer than there are the
# reader errs, as the picture of another place may be among those left out: with
# 20,000 of the great vale's 51,000 frames 95 % of its places were right. 320 of
# its episodes from everywhere, 1,024 steps each, hold 93,000.
_MOST_FRAMES = 200_000
_EVERY = 3  # of the tiles, those that are compared first
_TRIED = 32  # frames that are compared whole to learn how near one comes
_NOWHERE = -1
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)


@dataclasses.dataclass
class Reading:
  """Places that were read, and where the reader speaks at all."""

  place: np.ndarray  # [..., 3] int64 (map, y, x); 0 where not sure
  sure: np.ndarray  # [...] bool


def frame_hashes(packed: np.ndarray) -> np.ndarray:
  """Hashes `[...]` uint64 that name packed frames `[..., 144, 40]`."""
  flat = np.ascontiguousarray(packed).reshape(
    -1, specs.FRAME_HEIGHT * specs.PACKED_WIDTH
  )
  digests = [hashlib.blake2b(row.data, digest_size=8).digest() for row in flat]
  found = np.frombuffer(b"".join(digests), np.uint64)
  return found.reshape(packed.shape[:-2])


class TrainingFrames:
  """The different frames of training, told one piece after the other."""

  def __init__(self, most_frames: int = _MOST_FRAMES):
    """Starts empty.

    Args:
      most_frames: frames that the reader keeps; of more it keeps those with
        the smallest hashes, a random part that any order of pieces gives.
    """
    self._most_frames = most_frames
    self._told: list[np.ndarray] = []  # hashes, some of them again and again
    self._codes: dict[int, np.ndarray] = {}  # hash -> tile codes [360]
    self._places: dict[int, int] = {}
    self._highest = 1 << 64  # kept hashes are below

  def add(self, rows: Mapping[str, np.ndarray]) -> None:
    """Takes rows `[T, ...]` with `frame` and the RAM fields."""
    hashes = frame_hashes(rows["frame"])
    self._told.append(np.unique(hashes))
    place = _as_number(scores.recorded_places(rows))
    # Elsewhere the same place looks different, or other places the same.
    shows = np.isin(
      modes.modes_of(rows),
      [modes.MODES.index(name) for name in ("overworld", "dialog", "menu")],
    )
    place = np.where(shows, place, _NOWHERE)
    new: dict[int, int] = {}  # hash -> its first row
    for i, name in enumerate(hashes.tolist()):
      if name >= self._highest:
        continue
      if name not in self._places:
        self._places[name], new[name] = int(place[i]), i
      elif self._places[name] != place[i]:
        self._places[name] = _NOWHERE  # one picture, two places
    if new:  # most rows show a frame that was told before
      codes = _tile_codes(rows["frame"][list(new.values())])
      self._codes.update(zip(new, codes, strict=True))
    if len(self._codes) > 2 * self._most_frames:
      self._thin()

  def contains(self, packed: np.ndarray) -> np.ndarray:
    """Whether frames `[..., 144, 40]` occur in training, `[...]` bool."""
    return np.isin(frame_hashes(packed), self._known())

  def __len__(self) -> int:
    """Different frames."""
    return len(self._known())

  def _known(self) -> np.ndarray:
    """Hashes of all frames, each once."""
    if len(self._told) > 1:
      self._told = [np.unique(np.concatenate(self._told))]
    return self._told[0] if self._told else np.zeros(0, np.uint64)

  def reader(self) -> "PlaceReader | None":
    """A reader of these frames; None where no place is known."""
    self._thin()
    places = np.array(list(self._places.values()), np.int64)
    if not len(places) or (places == _NOWHERE).all():
      return None
    return PlaceReader(np.stack(list(self._codes.values())), places)

  def _thin(self) -> None:
    if len(self._codes) <= self._most_frames:
      return
    kept = sorted(self._codes)[: self._most_frames]
    self._highest = kept[-1] + 1
    self._codes = {name: self._codes[name] for name in kept}
    self._places = {name: self._places[name] for name in kept}


class PlaceReader:
  """Reads places off frames by their nearest training frames."""

  def __init__(self, codes: np.ndarray, places: np.ndarray):
    """Made by `TrainingFrames.reader`.

    Args:
      codes: tile codes `[D, 360]` uint16 of different frames.
      places: `[D]` their places as one number each, -1 for none.
    """
    self._codes = codes
    # [120, D] low bytes: tile by tile, which is ten times as fast as by frames.
    self._some = np.ascontiguousarray(codes[:, ::_EVERY].astype(np.uint8).T)
    self._places = places
    self._answers: dict[bytes, int] = {}  # most dreamed frames come again

  def __len__(self) -> int:
    """Frames that are compared with."""
    return len(self._codes)

  def read(self, packed: np.ndarray) -> Reading:
    """Reads packed frames `[..., 144, 40]`."""
    flat = packed.reshape(-1, specs.FRAME_HEIGHT, specs.PACKED_WIDTH)
    codes = _tile_codes(flat)
    found = np.array([self._read_one(code) for code in codes], np.int64)
    sure = found != _NOWHERE
    found = np.where(sure, found, 0)
    place = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=-1)
    lead = packed.shape[:-2]
    return Reading(place.reshape(*lead, 3), sure.reshape(lead))

  def _read_one(self, code: np.ndarray) -> int:
    key = code.tobytes()
    if key not in self._answers:
      self._answers[key] = self._nearest(code)
    return self._answers[key]

  def _nearest(self, code: np.ndarray) -> int:
    some = self._some_alike(code)
    least = math.ceil(_NEAR * len(code))
    tried = np.flatnonzero(some == some.max())[:_TRIED]
    best = int(self._alike(tried, code).max())
    # Frames that matter have at least so many tiles in common: they differ in
    # at most the others, of any part too.
    least = max(best, least) - int(_ASKED * len(code))
    near = np.flatnonzero(some >= len(self._some) - (len(code) - least))
    if not len(near):
      return _NOWHERE
    alike = self._alike(near, code)
    best = int(alike.max())
    asked = self._places[near][alike >= best - int(_ASKED * len(code))]
    told = best >= _NEAR * len(code) and (asked == asked[0]).all()
    return int(asked[0]) if told else _NOWHERE

  def _some_alike(self, code: np.ndarray) -> np.ndarray:
    """Of some tiles, how many have the same low byte, `[D]` uint8."""
    alike = np.zeros(len(self._codes), np.uint8)
    same = np.empty(len(alike), bool)
    for column, value in zip(
      self._some, code[::_EVERY].astype(np.uint8), strict=True
    ):
      np.equal(column, value, out=same)
      np.add(alike, same.view(np.uint8), out=alike)
    return alike

  def _alike(self, which: np.ndarray, code: np.ndarray) -> np.ndarray:
    """How many tiles of some frames are those of `code`."""
    return (self._codes[which] == code).sum(axis=1, dtype=np.int16)


def read_scores(
  reader: PlaceReader,
  frame: np.ndarray,
  places: np.ndarray,
  told: np.ndarray | None = None,
  asked: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
  """What a reader sees in frames; NaN where it is not asked.

  Args:
    reader: of places.
    frame: packed `[..., 144, 40]`.
    places: the true ones `[..., 3]`.
    told: places that the model's tokens name, or None.
    asked: `[...]` bool, where the real frame shows its place. A frame that
      does not show it there counts as a wrong map: else a model would gain by
      blurring what it does not know. None: wherever the reader speaks.

  Returns:
    `[...]` each: `read_share` (1.0 where it speaks), `read_tiles` (the error),
    `read_map`, and with `told` `read_agrees` (where it speaks).
  """
  seen = reader.read(frame)
  if asked is None:
    asked = seen.sure
  off = np.where(
    seen.sure, scores.tile_error(seen.place, places), scores.WRONG_MAP_TILES
  )
  right_map = seen.sure & (seen.place[..., 0] == places[..., 0])
  found = {
    "read_share": seen.sure.astype(float),
    "read_tiles": np.where(asked, off, np.nan),
    "read_map": np.where(asked, right_map, np.nan),
  }
  if told is not None:
    agrees = (seen.place == told).all(axis=-1)
    found["read_agrees"] = np.where(seen.sure, agrees, np.nan)
  return found


def _as_number(places: np.ndarray) -> np.ndarray:
  """Places `[..., 3]` of bytes as one number `[...]` each."""
  map_id, y, x = np.moveaxis(places.astype(np.int64), -1, 0)
  return map_id << 16 | y << 8 | x


def _tile_codes(packed: np.ndarray) -> np.ndarray:
  """Tiles `[N, 360]` of frames, each a 16-bit hash of its pixels.

  Two of some hundred tiles share a code by chance at most once in a while,
  which moves a count of 360 by one or two.
  """
  tiles = packed.reshape(-1, 18, 8, 20, 2).transpose(0, 1, 3, 2, 4)
  words = np.ascontiguousarray(tiles).reshape(-1, 360, 16).view(np.uint64)
  mixed = words[..., 0] * _MIX[0] ^ np.bitwise_left_shift(words[..., 1], 1)
  mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX[1]
  return (mixed >> np.uint64(48)).astype(np.uint16)
