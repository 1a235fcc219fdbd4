"""Message boxes in the atlas: counted, found again, and copied."""

import collections
import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.config import presets
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import atlas_counts
from pokedreamer_jax.world_model import atlas_texts
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_TOKENS = "world_model.tokens=map:4 y:12 x:12 text:7 text2:5 menu_item:3"
_ATLAS = ("world_model.atlas=counted", "world_model.atlas_cells=1024")
_CFG = fakes.config(*_ATLAS, _TOKENS, "world_model.atlas_boxes=30").world_model
_VOCAB = _CFG.tile_vocab
_NUMBERS = [0, 1, 2, 8, 13, 31, 40]


def _rows(length, seed=0, numbers=_NUMBERS):
  """Rows that show one of a few pictures each, some of them texts."""
  rows = fakes.steps(length, seed)
  rng = np.random.default_rng(seed)
  rows["text"] = rng.choice(numbers, size=length).astype(np.uint16)
  rows["menu_open"] = rng.random(length) < 0.5
  rows["menu_item"] = rng.choice([0, 2], size=length).astype(np.uint8)
  rows["shade"] = rng.choice([0, 3], size=length, p=[0.8, 0.2]).astype(np.uint8)
  rows["game_running"] = rng.random(length) < 0.9
  pictures = rows["frame"][rng.integers(min(length, 9), size=length)]
  pictures = pictures.copy()  # the same boxes under other scenery
  pictures[:, : atlas_texts.FIRST_LINE] = rows["frame"][
    :, : atlas_texts.FIRST_LINE
  ]
  return {**rows, "frame": pictures}


def _reference(rows):
  """Tokens of text, second text and cursor -> block -> its four tiles."""
  shown = np.asarray(jax.jit(tiles.encode)(fakes.table(_VOCAB), rows["frame"]))
  votes = collections.defaultdict(collections.Counter)
  for t, text in enumerate(rows["text"].tolist()):
    if not text or rows["shade"][t] or not rows["game_running"][t]:
      continue
    cursor = int(rows["menu_item"][t]) if rows["menu_open"][t] else 0
    key = (text % 6 + 1, text % 4 + 1, cursor)
    for block in range(60, 90):
      four = shown[t, 4 * block :][:4]
      votes[key, block][tuple(four.tolist())] += 1
  found = collections.defaultdict(dict)
  for (key, block), counted in votes.items():
    found[key][block] = min(counted, key=lambda b: (-counted[b], b[::-1]))
  return found


def _counts(rows, cfg=_CFG):
  return atlas_counts.count(cfg, fakes.table(_VOCAB), [rows])


def _grown(atlas, rows, cfg=_CFG):
  return atlas_counts.extend(atlas, _counts(rows, cfg))[0]


_KEYS = [(a, b, c) for a in range(7) for b in range(5) for c in range(3)]


def _hot(*keys):
  """Tokens `[N, R]` of texts given by both of their tokens, and of cursors."""
  each = [
    dict(zip(("text", "text2", "menu_item"), k, strict=True)) for k in keys
  ]
  numbers = [[t.get(name, 0) for name in _CFG.token_sizes] for t in each]
  return tokens.one_hot(_CFG.token_sizes, jnp.array(numbers))


def _shown(atlas, *keys):
  boxes = atlas_texts.box(atlas, _CFG.token_sizes, _hot(*keys))
  return boxes, atlas_texts.screen(atlas, boxes, _VOCAB)


def test_a_box_holds_what_was_seen_most_often_with_its_text():
  rows = _rows(400)
  expected = _reference(rows)
  assert len(expected) == 10  # 1 and 13 share both tokens
  atlas = _grown(atlas_lib.empty(_CFG), rows)
  boxes, found = _shown(atlas, *_KEYS)
  assert (np.asarray(boxes) > 0).sum() == len(expected)
  for key, screen in zip(_KEYS, np.asarray(found), strict=True):
    whole = np.full((90, 4), _VOCAB)
    for block, four in expected.get(key, {}).items():
      whole[block] = four
    np.testing.assert_array_equal(screen, whole.reshape(-1), str(key))


def test_a_token_that_is_read_finds_its_box():
  rows = _rows(200, numbers=[40])
  atlas = _grown(atlas_lib.empty(_CFG), rows)
  names = ("map_id", "y", "x", "menu_item", "menu_open")
  ram = {name: jnp.zeros((1,), jnp.int32) for name in names}
  for text, known in ((40, True), (41, False), (0, False)):
    ram["text"] = jnp.array([text])
    hot = tokens.one_hot(_CFG.token_sizes, tokens.read(_CFG.token_sizes, ram))
    box = atlas_texts.box(atlas, _CFG.token_sizes, hot)
    assert (box[0] > 0) == known


def test_one_token_alone_tells_texts_apart_as_it_can():
  cfg = dataclasses.replace(_CFG, tokens="map:4 y:12 x:12 text:7")
  atlas = _grown(atlas_lib.empty(cfg), _rows(300), cfg)
  assert atlas.texts.shape == (7, 1, 1)
  hot = tokens.one_hot(cfg.token_sizes, jnp.array([[0, 0, 0, 3]]))
  assert (
    atlas_texts.box(atlas, cfg.token_sizes, hot)[0] == atlas.texts[3, 0, 0] > 0
  )


def test_known_texts_keep_their_number_and_see_all_votes():
  first, more = _rows(100, 1, [0, 31, 40]), _rows(300, 2)
  before = _grown(atlas_lib.empty(_CFG), first)
  both = {name: np.concatenate([first[name], more[name]]) for name in first}
  after = _grown(before, both)
  there = np.asarray(before.texts) > 0
  assert there.sum() == 4 and (np.asarray(after.texts) > 0).sum() == 10
  np.testing.assert_array_equal(before.texts[there], after.texts[there])
  once = _grown(atlas_lib.empty(_CFG), both)
  np.testing.assert_array_equal(
    _shown(after, *_KEYS)[1], _shown(once, *_KEYS)[1]
  )
  # What was not counted stays as it is.
  chex.assert_trees_all_equal(
    _grown(after, _rows(50, 3, [0])).boxes, after.boxes
  )


def test_without_room_the_texts_with_most_views_are_kept():
  rows = _rows(400)
  small = dataclasses.replace(_CFG, atlas_boxes=2)
  found = _counts(rows).texts
  views = collections.Counter()
  for place, votes in zip(found[0] // 30, found[2], strict=True):
    views[int(place)] += int(votes)
  atlas = _grown(atlas_lib.empty(small), rows, small)
  kept = np.flatnonzero(np.asarray(atlas.texts).reshape(-1))
  best = sorted(views, key=lambda text: (-views[text], text))[:2]
  assert sorted(best) == kept.tolist() and atlas.boxes.shape == (3, 120)


def test_without_texts_an_atlas_has_none_of_it():
  cfg = dataclasses.replace(_CFG, atlas_boxes=0)
  atlas = atlas_lib.empty(cfg)
  assert set(atlas_lib.leaves(atlas)) == {"pages", "tiles", "looks"}
  assert _counts(_rows(50), cfg).texts is None
  for missing in ("tokens=map:4 y:12 x:12", "ram=off"):
    with pytest.raises(ValueError, match="'text', expected 0"):
      presets.make(
        "tiny",
        [*_ATLAS, "world_model.atlas_boxes=5", f"world_model.{missing}"],
      )


@functools.cache
def _params():
  params = fakes.params(_CFG, noise=0.3)
  atlas = _grown(atlas_lib.empty(_CFG), _rows(400))
  return {**params, "atlas": atlas_lib.leaves(atlas)}


def test_the_decoder_copies_a_box_that_is_known():
  # Texts 31 and 40, and none.
  keys = (2, 4, 0), (5, 1, 2), (6, 3, 0)
  boxes, screens = _shown(world_model.map_memory(_params()), *keys)
  assert (np.asarray(boxes) > 0).tolist() == [True, True, False]
  feat = jnp.zeros((3, _CFG.feat_dim)).at[:, -_CFG.token_dim :].set(_hot(*keys))
  outputs_of = fakes.jit(functools.partial(world_model.decoder_outputs, _CFG))
  copies = outputs_of(_params(), feat).copies
  assert copies.candidate.shape == (3, 360, 6)
  np.testing.assert_array_equal(copies.candidate[..., 5], screens)
  share = np.exp(copies.log_copy[..., 5])
  known = np.asarray(screens) < _VOCAB
  assert (share[known] > 0).all() and (share[~known] == 0).all()
  assert known[:2, 240:].all() and not known[:, :240].any()
  # Hidden, it is drawn.
  hidden = world_model.decoder_outputs(
    _CFG, _params(), feat, hide=jnp.zeros_like
  )
  assert (np.asarray(hidden.copies.candidate[..., 5]) == _VOCAB).all()
