"""A session as a moving picture: the dream, and the real game beside it."""

import pathlib
import tempfile

import numpy as np

from experiments.reports import video

KINDS = ("mp4", "gif")
MOST_STEPS = {"mp4": 1_500, "gif": 300}
_FPS = {"mp4": 6, "gif": 6}


def make(
  kind: str, dreamt: np.ndarray, real: np.ndarray | None
) -> tuple[bytes, str]:
  """A clip and its ending, which may be another where no encoder is.

  Args:
    kind: one of `KINDS`.
    dreamt: packed frames `[T, 144, 40]`.
    real: the same of the real game, or None.
  """
  streams, labels, captions = [dreamt], ["dream"], None
  if real is not None:
    streams, labels = [dreamt, real], ["dream", "emulator"]
    captions = _captions(dreamt, real)
  pictures = video.side_by_side(streams, labels, captions)
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / f"dream.{kind}"
    made = video.write(path, pictures, _FPS[kind])
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
