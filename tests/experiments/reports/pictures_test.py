"""Contact sheets and clips show the frames that they are given."""

import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np

from data_tools.game import frame_codec
from experiments.reports import pictures
from experiments.reports import video


def _frames(count, seed=0):
  rng = np.random.default_rng(seed)
  tiles = rng.integers(0, 256, (count, 18, 5), np.uint8)
  return tiles.repeat(8, 1).repeat(8, 2)  # [T, 144, 40]


class PicturesTest(parameterized.TestCase):
  def test_a_sheet_holds_every_frame_at_its_place(self):
    frames = _frames(3)
    sheet = pictures.contact_sheet(
      [[pictures.Row("real", frames)]], ["+1", "+2", "+3"], scale=1
    )
    pixels = np.asarray(sheet)[..., 0]
    for frame in frames:
      grey = frame_codec.unpack_grey(frame)
      places = [
        x
        for x in range(pixels.shape[1] - 159)
        if np.array_equal(pixels[30 : 30 + 144, x : x + 160], grey)
      ]
      self.assertLen(places, 1)

  def test_the_border_tells_right_from_wrong(self):
    truth = _frames(2)
    dream = truth.copy()
    dream[1, 0, 0] ^= 1  # a single pixel
    sheet = pictures.contact_sheet(
      [[pictures.Row("dream", dream, truth)]], ["+1", "+2"], scale=1
    )
    colours = [colour for _, colour in sheet.getcolors(1 << 16)]
    self.assertIn(pictures.EXACT, colours)
    self.assertIn(pictures.INEXACT, colours)
    alike = pictures.contact_sheet(
      [[pictures.Row("dream", truth, truth)]], ["+1", "+2"], scale=1
    )
    colours = [colour for _, colour in alike.getcolors(1 << 16)]
    self.assertNotIn(pictures.INEXACT, colours)

  def test_a_difference_is_lit_where_a_pixel_is_wrong_and_faint_elsewhere(self):
    truth = _frames(1)
    dream = truth.copy()
    dream[0, 100, 7] ^= 1  # the first of four pixels
    row = pictures.Row("difference", dream, truth, difference=True)
    pixels = np.asarray(pictures.contact_sheet([[row]], ["+1"], scale=1))
    (at,) = np.argwhere((pixels == pictures.OFF).all(-1))
    frame = pixels[at[0] - 100 :, at[1] - 28 :][:144, :160]
    known = frame_codec.unpack_grey(truth[0])
    right = np.ones(known.shape, bool)
    right[100, 28] = False
    levels = np.unique(known[right])
    faint = [np.unique(frame[(known == level) & right]) for level in levels]
    self.assertTrue(all(len(one) == 1 for one in faint))
    self.assertEqual(
      sorted(int(one[0]) for one in faint), [int(one[0]) for one in faint]
    )
    self.assertLess(max(int(one[0]) for one in faint), 120)

  def test_rows_must_fill_the_columns(self):
    with self.assertRaisesRegex(ValueError, "'real': 3 frames, 2 columns"):
      pictures.contact_sheet([[pictures.Row("real", _frames(3))]], ["+1", "+2"])

  def test_a_png_keeps_the_greys(self):
    from PIL import Image

    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    sheet = pictures.contact_sheet(
      [[pictures.Row("real", _frames(1))]], ["+1"], scale=1
    )
    pictures.save_png(sheet, folder / "sheet.png")
    with Image.open(folder / "sheet.png") as read:
      np.testing.assert_array_equal(
        np.asarray(read.convert("RGB")), np.asarray(sheet)
      )


class VideoTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.left, self.right = _frames(9, seed=1), _frames(9, seed=2)

  def write(self, name):
    captions = [f"step {t}" for t in range(9)]
    pictures_ = video.side_by_side(
      [self.left, self.right], ["real", "imagined"], captions, scale=2
    )
    return video.write(self.folder / name, pictures_, fps=6)

  @parameterized.parameters(("clip.mp4", 6.0), ("clip.webp", 0.0))
  def test_a_clip_plays_back_both_halves(self, name, tolerance):
    path = self.write(name)
    decoded = video.read(path)
    (width, height), corners = video.canvas(2, 2)
    self.assertEqual(decoded.shape, (9, height, width, 3))
    for stream, (x, y) in zip((self.left, self.right), corners, strict=True):
      grey = frame_codec.unpack_grey(stream).repeat(2, 1).repeat(2, 2)
      shown = decoded[:, y : y + 288, x : x + 320, 0].astype(int)
      self.assertLessEqual(np.abs(shown - grey).mean(), tolerance)

  def test_a_strip_tells_all_steps_and_marks_the_present_one(self):
    told = [pictures.RIGHT] * 4 + [pictures.OFF] * 5
    shown = list(
      video.side_by_side([self.left] * 3, list("abc"), None, 2, told)
    )
    (width, height), corners = video.canvas(3, 2, strip=True)
    self.assertEqual(shown[0].shape, (height, width, 3))
    self.assertGreater(height, video.canvas(3, 2)[0][1])
    row = corners[0][1] + 288 + 8  # of the strip
    for t, picture in enumerate(shown):
      for step, colour in enumerate(told):
        x = round(16 + (step + 0.5) * (width - 32) / 9)
        np.testing.assert_array_equal(picture[row, x], colour)
      edge = (picture[row] == pictures.TEXT).all(-1).nonzero()[0]
      left = 16 + t * (width - 32) / 9
      self.assertAlmostEqual(edge.min(), left, delta=3)

  def test_without_the_encoder_it_becomes_webp(self):
    with mock.patch.object(video, "CODEC", "no_such_codec"):
      self.assertFalse(video.have_codec())
      path = self.write("clip.mp4")
    self.assertEqual(path, self.folder / "clip.webp")
    self.assertLen(video.read(path), 9)
    self.assertEqual([p.name for p in self.folder.iterdir()], ["clip.webp"])

  def test_streams_must_be_equally_long(self):
    with self.assertRaisesRegex(ValueError, r"lengths \[9, 4\]"):
      list(video.side_by_side([self.left, self.right[:4]], ["a", "b"]))

  def test_refuses_what_it_cannot_write(self):
    with self.assertRaisesRegex(ValueError, r"\.mp4 or \.webp"):
      video.write(self.folder / "clip.gif", iter([]))
    with self.assertRaisesRegex(ValueError, "at least one frame"):
      video.write(self.folder / "clip.webp", iter([]))
    self.assertEmpty(list(self.folder.iterdir()))


if __name__ == "__main__":
  absltest.main()
