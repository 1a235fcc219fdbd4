import numpy as np
import pytest

from data_tools.game import frame_codec


def _shades(seed, *leading):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 4, (*leading, 144, 160)).astype(np.uint8)


def _rgba(shades):
  rgba = np.repeat(frame_codec.GREY_LEVELS[shades][..., None], 4, axis=-1)
  rgba[..., 3] = 255
  return rgba


def test_leftmost_pixel_lies_in_the_low_bits():
  shades = np.zeros((144, 160), np.uint8)
  shades[0, :4] = [1, 2, 3, 0]
  # 1 + 2 * 4 + 3 * 16 + 0 * 64 = 57
  assert frame_codec.pack_shades(shades)[0, 0] == 57


def test_every_way_in_is_undone_by_the_way_out():
  shades = _shades(0, 2, 3)
  packed = frame_codec.pack_shades(shades)
  np.testing.assert_array_equal(frame_codec.unpack(packed), shades)
  np.testing.assert_array_equal(frame_codec.pack_rgba(_rgba(shades)), packed)
  grey = frame_codec.unpack_grey(packed)
  np.testing.assert_array_equal(grey, frame_codec.GREY_LEVELS[shades])
  np.testing.assert_array_equal(frame_codec.pack_grey(grey), packed)
  rgb = frame_codec.unpack_rgb(packed)
  np.testing.assert_array_equal(rgb, _rgba(shades)[..., :3])


def test_rgba_with_gaps_in_memory_packs_alike():
  rgba = _rgba(_shades(1, 4))
  view = np.asfortranarray(rgba)
  np.testing.assert_array_equal(
    frame_codec.pack_rgba(view), frame_codec.pack_rgba(rgba)
  )


@pytest.mark.parametrize("channel", [0, 1, 2, 3])
def test_one_pixel_of_a_fifth_colour_is_refused(channel):
  rgba = _rgba(_shades(2))
  rgba[143, 159, channel] ^= 1
  with pytest.raises(ValueError, match="5 colours"):
    frame_codec.pack_rgba(rgba)


def test_a_screen_that_was_never_drawn_is_refused():
  with pytest.raises(ValueError, match=r"\(0, 0, 0, 0\)"):
    frame_codec.pack_rgba(np.zeros((144, 160, 4), np.uint8))


def test_foreign_greys_shades_and_shapes_are_refused():
  grey = np.full((144, 160), 254, np.uint8)
  with pytest.raises(ValueError, match="254"):
    frame_codec.pack_grey(grey)
  with pytest.raises(ValueError, match="shade 4"):
    frame_codec.pack_shades(np.full((144, 160), 4, np.uint8))
  with pytest.raises(ValueError, match=r"\[80, 72\], expected uint8"):
    frame_codec.pack_grey(np.zeros((80, 72), np.uint8))
