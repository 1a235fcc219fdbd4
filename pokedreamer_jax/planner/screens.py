"""Packed frames as PNG, which services of language models read."""

import struct
import zlib

import numpy as np

from pokedreamer_jax import specs


def png(frame: np.ndarray) -> bytes:
  """A PNG of 160 x 144 grey pixels, of a packed frame `[144, 40]` uint8.

  Raises:
    ValueError: another shape or dtype.
  """
  shape = (specs.FRAME_HEIGHT, specs.PACKED_WIDTH)
  if frame.shape != shape or frame.dtype != np.uint8:
    raise ValueError(
      f"frame: {frame.dtype}{list(frame.shape)}, expected uint8{list(shape)}"
    )
  shades = frame[..., None] >> np.arange(0, 8, 2, dtype=np.uint8) & 3
  grey = (255 - 85 * shades).astype(np.uint8).reshape(specs.FRAME_HEIGHT, -1)
  lines = np.pad(grey, ((0, 0), (1, 0)))  # each begins with its filter, none
  header = struct.pack(
    ">IIBBBBB", specs.FRAME_WIDTH, specs.FRAME_HEIGHT, 8, 0, 0, 0, 0
  )
  chunks = (
    (b"IHDR", header),
    (b"IDAT", zlib.compress(lines.tobytes())),
    (b"IEND", b""),
  )
  parts = [b"\x89PNG\r\n\x1a\n"]
  for name, data in chunks:
    crc = zlib.crc32(name + data)
    parts += [struct.pack(">I", len(data)), name, data, struct.pack(">I", crc)]
  return b"".join(parts)
