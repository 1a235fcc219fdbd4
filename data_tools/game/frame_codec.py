"""Frames of a four-shade Game Boy, two bits a pixel, without loss.

A packed frame is `[144, 40]` uint8: byte `c` of a row holds the pixels `4c` to
`4c + 3`, the leftmost in the lowest two bits. Shade 0 is white, 3 is black.
Every function takes any leading axes.
"""

import functools

import numpy as np

from pokedreamer_jax import specs

GREY_LEVELS = np.array([255, 153, 85, 0], np.uint8)  # of shade 0, 1, 2, 3

_BYTES = np.arange(256, dtype=np.uint8)
# The four pixels in each packed byte: [256, 4].
_SHADES = (_BYTES[:, None] >> np.arange(0, 8, 2, dtype=np.uint8)) & 3
_GREYS = GREY_LEVELS[_SHADES]
# The same as one 16-byte number a packed byte, so that a look-up and a compare
# handle four RGBA pixels at once.
_RGBA = np.repeat(_GREYS[..., None], 4, axis=-1)
_RGBA[..., 3] = 255
_RGBA16 = np.ascontiguousarray(_RGBA).reshape(256, 16).view(np.complex128)[:, 0]
_GREYS4 = np.ascontiguousarray(_GREYS).view(np.uint32)[:, 0]
_SHADES4 = np.ascontiguousarray(_SHADES).view(np.uint32)[:, 0]


def pack_rgba(rgba: np.ndarray) -> np.ndarray:
  """Packs emulator screens `[..., 144, 160, 4]` uint8.

  Raises:
    ValueError: a pixel is none of the four opaque greys, as in a colour game
      or before the first frame was drawn.
  """
  _check_shape(rgba, (specs.FRAME_HEIGHT, specs.FRAME_WIDTH, 4))
  rgba = np.ascontiguousarray(rgba)
  red = np.ascontiguousarray(rgba[..., 0])
  packed = _pack_levels(red)
  # [..., 144, 40] of 16 bytes -> [..., 144, 80] of 8 bytes
  expected = np.take(_RGBA16, packed).view(np.uint64)
  found = rgba.reshape(*packed.shape, 16).view(np.uint64)
  if not np.array_equal(expected, found.reshape(expected.shape)):
    colours = np.unique(rgba.reshape(-1, 4), axis=0)
    _refuse([tuple(int(v) for v in colour) for colour in colours])
  return packed


def pack_grey(grey: np.ndarray) -> np.ndarray:
  """Packs grey frames `[..., 144, 160]` uint8 of the four `GREY_LEVELS`.

  Raises:
    ValueError: a pixel has another value.
  """
  _check_shape(grey, (specs.FRAME_HEIGHT, specs.FRAME_WIDTH))
  grey = np.ascontiguousarray(grey)
  packed = _pack_levels(grey)
  if not np.array_equal(_GREYS4[packed], grey.view(np.uint32)):
    _refuse([int(value) for value in np.unique(grey)])
  return packed


def pack_shades(shades: np.ndarray) -> np.ndarray:
  """Packs shades `[..., 144, 160]` uint8, each 0 to 3.

  Raises:
    ValueError: a shade is above 3.
  """
  _check_shape(shades, (specs.FRAME_HEIGHT, specs.FRAME_WIDTH))
  if shades.size and shades.max() >= specs.NUM_SHADES:
    raise ValueError(
      f"shade {shades.max()}: a frame holds shades 0 to {specs.NUM_SHADES - 1}"
    )
  return _join(np.ascontiguousarray(shades).view(np.uint32))


def unpack(packed: np.ndarray) -> np.ndarray:
  """Shades `[..., 144, 160]` uint8 of packed frames `[..., 144, 40]`."""
  _check_shape(packed, (specs.FRAME_HEIGHT, specs.PACKED_WIDTH))
  return np.take(_SHADES4, packed).view(np.uint8)


def unpack_grey(packed: np.ndarray) -> np.ndarray:
  """Grey levels `[..., 144, 160]` uint8 of packed frames `[..., 144, 40]`."""
  _check_shape(packed, (specs.FRAME_HEIGHT, specs.PACKED_WIDTH))
  return np.take(_GREYS4, packed).view(np.uint8)


def unpack_rgb(packed: np.ndarray) -> np.ndarray:
  """RGB `[..., 144, 160, 3]` uint8 of packed frames `[..., 144, 40]`."""
  _check_shape(packed, (specs.FRAME_HEIGHT, specs.PACKED_WIDTH))
  pairs = np.ascontiguousarray(packed).view(np.uint16)
  rgb = np.take(_rgb24(), pairs, axis=0).view(np.uint8)
  return rgb.reshape(*packed.shape[:-1], specs.FRAME_WIDTH, 3)


@functools.cache
def _rgb24() -> np.ndarray:
  """Eight RGB pixels, 24 bytes, of two packed bytes: `[65536, 3]` uint64.

  1.5 MiB, of which frames use little. `take` of whole rows is three times as
  fast as indexing by single bytes.
  """
  rgb = np.repeat(_GREYS[..., None], 3, axis=-1).reshape(256, 12)
  pairs = np.arange(1 << 16)
  both = np.concatenate([rgb[pairs & 0xFF], rgb[pairs >> 8]], axis=1)
  return both.view(np.uint64)


def _pack_levels(levels: np.ndarray) -> np.ndarray:
  """Packs by the two high bits of each byte; the caller checks the rest."""
  inverted = ~levels.view(np.uint32)  # white is shade 0
  return _join((inverted >> np.uint32(6)) & np.uint32(0x03030303))


def _join(shades4: np.ndarray) -> np.ndarray:
  """`[...]` uint32 of four shades, leftmost lowest, to one packed byte."""
  joined = shades4 | (shades4 >> np.uint32(6))
  joined |= (shades4 >> np.uint32(12)) | (shades4 >> np.uint32(18))
  return joined.astype(np.uint8)  # keeps the low eight bits


def _check_shape(array: np.ndarray, trailing: tuple[int, ...]) -> None:
  if array.dtype != np.uint8 or array.shape[-len(trailing) :] != trailing:
    raise ValueError(
      f"frame: {array.dtype}{list(array.shape)}, expected uint8 "
      f"[..., {', '.join(map(str, trailing))}]"
    )


def _refuse(colours: list) -> None:
  shown = ", ".join(str(colour) for colour in colours[:6])
  raise ValueError(
    f"frame: {len(colours)} colours ({shown}...), allowed are the opaque greys "
    f"{GREY_LEVELS.tolist()} of a four-shade Game Boy; colour games cannot be "
    "recorded"
  )
