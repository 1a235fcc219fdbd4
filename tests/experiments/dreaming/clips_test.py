"""Clips of sessions are read back, picture by picture."""

import io

import numpy as np
from PIL import Image
from PIL import ImageSequence

from data_tools.game import frame_codec
from experiments.dreaming import clips
from experiments.reports import video
from tests.pokedreamer_jax import fakes


def test_a_gif_holds_both_games_pixel_by_pixel():
  dreamt = fakes.screens()[:3]
  real = np.array(dreamt)
  real[2] = fakes.screens()[5]
  data, suffix = clips.make("gif", dreamt, real)
  assert suffix == ".gif"
  with Image.open(io.BytesIO(data)) as image:
    pictures = [
      np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(image)
    ]
  assert len(pictures) == 3
  _, corners = video.canvas(2, 2)
  for picture, *frames in zip(pictures, dreamt, real, strict=True):
    for (x, y), frame in zip(corners, frames, strict=True):
      shown = picture[y : y + 288 : 2, x : x + 320 : 2].astype(int)
      grey = frame_codec.unpack_grey(frame).astype(int)
      assert np.abs(shown - grey).max() <= 8  # of a palette of sixteen


def test_an_mp4_or_what_can_be_written(tmp_path):
  data, suffix = clips.make("mp4", fakes.screens()[:4], None)
  path = tmp_path / f"clip{suffix}"
  path.write_bytes(data)
  assert video.read(path).shape[0] == 4
