"""A session as a moving picture: the dream, and the real game beside it."""

from collections.abc import Iterable
import io
import pathlib
import tempfile

import numpy as np

from experiments.reports import video

KINDS = ("mp4", "gif")
MOST_STEPS = {"mp4": 1_500, "gif": 300}
_FPS = 6
_GIF_COLOURS = 16  # four greys, and the smooth edges of letters


def make(
  kind: str, dreamt: np.ndarray, real: np.ndarray | None
) -> tuple[bytes, str]:
  """A clip and its ending, `.webp` where no encoder of MP4 is.

  Args:
    kind: one of `KINDS`.
    dreamt: packed frames `[T, 144, 40]`, at least one.
    real: the same of the real game, or None.
  """
  streams, labels, captions = [dreamt], ["dream"], None
  if real is not None:
    streams, labels = [dreamt, real], ["dream", "emulator"]
    captions = _captions(dreamt, real)
  pictures = video.side_by_side(streams, labels, captions)
  if kind == "gif":
    return _gif(pictures), ".gif"
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / f"dream.{kind}"
    made = video.write(path, pictures, _FPS)
    return made.read_bytes(), made.suffix


def _captions(dreamt: np.ndarray, real: np.ndarray) -> list[str]:
  """One line per step: whether both agree."""
  differ = (dreamt != real).any(axis=(1, 2))
  lines, run = [], 0
  for step, different in enumerate(differ):
    run = 0 if different else run + 1
    word = "differs" if different else f"every pixel right, {run} in a row"
    lines.append(f"step {step}: {word}")
  return lines


def _gif(pictures: Iterable[np.ndarray]) -> bytes:
  from PIL import Image

  images = [
    Image.fromarray(picture).quantize(_GIF_COLOURS) for picture in pictures
  ]
  buffer = io.BytesIO()
  images[0].save(
    buffer,
    "GIF",
    save_all=True,
    append_images=images[1:],
    duration=round(1000 / _FPS),
    loop=0,
  )
  return buffer.getvalue()
