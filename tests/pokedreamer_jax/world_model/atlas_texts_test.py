"""Message boxes in the atlas: counted, found again, and copied."""

import collections
import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.config import presets
from pokedreamer_jax.frames import packing
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import atlas_counts
from pokedreamer_jax.world_model import atlas_texts
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_TOKENS = "map:4 y:12 x:12 text:7 text2:5 menu_item:3"
_ATLAS = ("world_model.atlas=counted", "world_model.atlas_cells=1024")


def _config(names, boxes=30):
  return fakes.config(
    *_ATLAS, f"world_model.tokens={names}", f"world_model.atlas_boxes={boxes}"
  ).world_model


_CFG = _config(_TOKENS)
_VOCAB = _CFG.tile_vocab
_NUMBERS = [0, 1, 2, 8, 13, 31, 40]  # 1 and 13 share both tokens
_KEYS = [(a, b, c) for a in range(7) for b in range(5) for c in range(3)]


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
  pictures[:, :96] = rows["frame"][:, :96]
  return {**rows, "frame": pictures}


def _reference(rows):
  """Tokens of text, second text and cursor -> block -> its four tiles."""
  shown = np.asarray(jax.jit(tiles.encode)(fakes.table(_VOCAB), rows["frame"]))
  votes = collections.defaultdict(collections.Counter)
  number = collections.Counter()
  for t, text in enumerate(rows["text"].tolist()):
    if not text or rows["shade"][t] or not rows["game_running"][t]:
      continue
    cursor = int(rows["menu_item"][t]) if rows["menu_open"][t] else 0
    number[text, cursor] += 1
    for block in range(60, 90):
      four = shown[t, 4 * block :][:4]
      votes[text, cursor, block][tuple(four.tolist())] += 1
  found = collections.defaultdict(dict)
  # Of texts that share both tokens the one shown most often, or the first.
  for text, cursor in sorted(number, key=lambda at: (number[at], -at[0])):
    for block in range(60, 90):
      counted = votes[text, cursor, block]
      best = min(counted, key=lambda b, c=counted: (-c[b], b[::-1]))
      found[text % 6 + 1, text % 4 + 1, cursor][block] = best
  return found


def _counts(rows, cfg=_CFG):
  return atlas_counts.count(cfg, fakes.table(_VOCAB), [rows])


def _grown(atlas, rows, cfg=_CFG):
  return atlas_counts.extend(atlas, _counts(rows, cfg))[0]


def _hot(*keys):
  """Tokens `[N, R]` of texts given by both of their tokens, and of cursors."""
  names = ("text", "text2", "menu_item")
  each = [dict(zip(names, key, strict=True)) for key in keys]
  numbers = [[t.get(name, 0) for name in _CFG.token_sizes] for t in each]
  return tokens.one_hot(_CFG.token_sizes, jnp.array(numbers))


def _shown(atlas, *keys):
  boxes = atlas_texts.box(atlas, _CFG.token_sizes, _hot(*keys))
  return boxes, atlas_texts.screen(atlas, boxes, _VOCAB)


def _number_of_boxes(atlas):
  return int((np.asarray(atlas.texts) < np.iinfo(np.int32).max).sum())


def test_a_box_holds_what_was_seen_most_often_with_its_text():
  rows = _rows(400)
  expected = _reference(rows)
  assert len(expected) == 10
  atlas = _grown(atlas_lib.empty(_CFG), rows)
  boxes, found = _shown(atlas, *_KEYS)
  assert (np.asarray(boxes) > 0).sum() == len(expected)
  for key, screen in zip(_KEYS, np.asarray(found), strict=True):
    whole = np.full((90, 4), _VOCAB)
    for block, four in expected.get(key, {}).items():
      whole[block] = four
    np.testing.assert_array_equal(screen, whole.reshape(-1), str(key))


def test_a_token_that_is_read_finds_its_box():
  atlas = _grown(atlas_lib.empty(_CFG), _rows(200, numbers=[40]))
  names = ("map_id", "y", "x", "menu_item", "menu_open")
  ram = {name: jnp.zeros((1,), jnp.int32) for name in names}
  for text, known in ((40, True), (41, False), (0, False)):
    ram["text"] = jnp.array([text])
    hot = tokens.one_hot(_CFG.token_sizes, tokens.read(_CFG.token_sizes, ram))
    box = atlas_texts.box(atlas, _CFG.token_sizes, hot)
    assert (box[0] > 0) == known


def test_one_token_alone_tells_texts_apart_as_it_can():
  cfg = _config("map:4 y:12 x:12 text:7")
  atlas = _grown(atlas_lib.empty(cfg), _rows(300), cfg)
  assert _number_of_boxes(atlas) == 3  # modulo 6
  for text in range(7):
    hot = tokens.one_hot(cfg.token_sizes, jnp.array([[0, 0, 0, text]]))
    known = atlas_texts.box(atlas, cfg.token_sizes, hot)[0] > 0
    assert known == (text in (2, 3, 5))


def test_an_atlas_that_grows_holds_what_all_rows_say():
  first, more = _rows(100, 1, [0, 31, 40]), _rows(300, 2)
  before = _grown(atlas_lib.empty(_CFG), first)
  both = {name: np.concatenate([first[name], more[name]]) for name in first}
  after = _grown(before, both)
  assert _number_of_boxes(before) == 4 and _number_of_boxes(after) == 10
  once = _grown(atlas_lib.empty(_CFG), both)
  chex.assert_trees_all_equal(_shown(after, *_KEYS), _shown(once, *_KEYS))
  # What was not counted stays as it is.
  chex.assert_trees_all_equal(_grown(after, _rows(50, 3, [0])), after)


def test_without_room_the_boxes_with_most_rows_are_kept():
  rows = _rows(400, numbers=[0, 1, 2, 8, 31, 40])
  small = _config(_TOKENS, boxes=2)
  number = collections.Counter()
  for t, text in enumerate(rows["text"].tolist()):
    if text and not rows["shade"][t] and rows["game_running"][t]:
      cursor = int(rows["menu_item"][t]) if rows["menu_open"][t] else 0
      number[text % 6 + 1, text % 4 + 1, cursor] += 1
  atlas = _grown(atlas_lib.empty(small), rows, small)
  boxes, _ = _shown(atlas, *_KEYS)
  held = [number[k] for k, b in zip(_KEYS, np.asarray(boxes), strict=True) if b]
  assert sorted(held) == sorted(number.values())[-2:]
  # Those that are held stay, whatever comes.
  again = _grown(atlas, _rows(400, 5), small)
  np.testing.assert_array_equal(atlas.texts, again.texts)


def test_without_boxes_an_atlas_has_none_of_it():
  cfg = dataclasses.replace(_CFG, atlas_boxes=0)
  atlas = atlas_lib.empty(cfg)
  assert set(atlas_lib.leaves(atlas)) == {"pages", "tiles", "looks"}
  assert _counts(_rows(50), cfg).texts is None
  for names in ("map:4 y:12 x:12", "map:4 y:12 x:12 text2:5"):
    assert _config(names).num_boxes == 0  # nothing tells which text it is
  for wrong, said in (
    ("atlas_boxes=70000", "expected below 65536"),
    ("tokens=map:4 y:9 x:9 letters:9", "'letters' without 'text'"),
    ("tokens=map:4 y:9 x:9 text:70000 text2:70000", "text x text2 are 49"),
  ):
    with pytest.raises(ValueError, match=said):
      presets.make("vale", [f"world_model.{wrong}"])


@functools.cache
def _params():
  params = fakes.params(_CFG, noise=0.3)
  atlas = _grown(atlas_lib.empty(_CFG), _rows(400))
  return {**params, "atlas": atlas_lib.leaves(atlas)}


def test_the_decoder_copies_a_box_that_is_known():
  keys = (2, 4, 0), (5, 1, 2), (6, 3, 0)  # texts 31 and 40, and none
  boxes, screens = _shown(world_model.map_memory(_params()), *keys)
  assert (np.asarray(boxes) > 0).tolist() == [True, True, False]
  feat = jnp.zeros((3, _CFG.feat_dim))
  feat = feat.at[:, -_CFG.token_dim :].set(_hot(*keys))
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


def test_texts_reach_blocks_by_their_boxes_alone():
  kernel = _params()["decoder"]["token_out"]["kernel"]
  assert len(kernel) == 3  # the cursor
  cfg = dataclasses.replace(_CFG, atlas_boxes=0)
  shapes = world_model.shapes(cfg)["decoder"]
  assert shapes["token_out"]["kernel"].shape[0] == 7 + 5 + 3
  assert shapes["copy_shift"]["kernel"].shape[1] == 5


# A text as it is printed, and the row in which it ends; 7 is blank.
_BLANK, _BORDER = 7, 5
_LETTERED = _config("map:4 y:12 x:12 text:90 text2:80 letters:20", 40)


def _box(*lines):
  """A frame `[144, 40]` whose box says these lines of tiles."""
  grid = np.full((18, 20), _BORDER)
  grid[13:17, 1:19] = _BLANK
  for row, line in zip((14, 16), lines, strict=False):
    grid[row, 1 : 1 + len(line)] = line
  blocks = grid.reshape(9, 2, 10, 2).swapaxes(1, 2).reshape(360)
  words = np.asarray(fakes.table(_VOCAB).words)[blocks]
  return np.asarray(packing.from_tile_words(jnp.asarray(words)))


_A, _B, _C = [1, 2, 3, 4], [1, 2, 9, 9, 9], [8, 8]
# Number -> what is written.
_WRITTEN = {
  100: (_A[:1],),
  101: (_A[:2],),
  102: (_A,),
  103: (_A, [_BLANK, 6]),
  104: (_A, [_BLANK, 6, 6]),
  200: (_B,),
  300: (_C,),
  301: (_C, _C),
}


def _printing(*numbers):
  """Rows that show these texts one after the other; 0 shows none."""
  rows = fakes.steps(len(numbers), 0)
  rows["text"] = np.array(numbers, np.uint16)
  rows["frame"] = np.stack([_box(*_WRITTEN.get(n, ())) for n in numbers])
  rows["game_running"][:] = True
  rows["shade"][:] = 0
  rows["menu_open"][:] = rows["is_first"][:] = False
  for name in ("map_id", "y", "x"):
    rows[name][:] = 1
  return rows


# "1 2" becomes 1234 twice, and 12999 once; what is printed to its end stays for
# a while, and 88 is there whole as often as another line follows it.
_STORY = (
  *(0, 100, 102, 104, 104, 0, 101, 103, 104, 0, 101, 102, 104, 0),
  *(101, 200, 200, 0, 300, 0, 300, 200, 0, 300, 301, 301, 0),
)
# Number -> the whole, and letters of it that are there (0: all).
_TOLD = {
  100: (104, 1),
  101: (104, 2),
  102: (104, 4),
  103: (104, 4 + 2),
  104: (104, 0),
  200: (200, 0),
  300: (300, 0),
  301: (301, 0),
  77: (77, 0),  # never seen
  0: (0, 0),
}


def _read(atlas, numbers):
  told = atlas_texts.told(atlas, {"text": np.array(numbers), "y": 1})
  assert told["y"] == 1
  return list(zip(told["text"].tolist(), told["letters"].tolist(), strict=True))


def test_a_beginning_is_told_as_the_whole_and_how_far_it_is_printed():
  atlas = _grown(atlas_lib.empty(_LETTERED), _printing(*_STORY), _LETTERED)
  assert _read(atlas, list(_TOLD)) == list(_TOLD.values())
  # The box shows what is there so far.
  params = {"atlas": atlas_lib.leaves(atlas)}
  ram = _printing(*_WRITTEN)
  hot = world_model.read_tokens(_LETTERED, params, ram)
  box = atlas_texts.box(atlas, _LETTERED.token_sizes, hot)
  assert (np.asarray(box) > 0).all()
  shown = tiles.encode(fakes.table(_VOCAB), ram["frame"])
  screen = atlas_texts.screen(atlas, box, _VOCAB)
  np.testing.assert_array_equal(screen[:, 240:], shown[:, 240:])


def test_letters_beyond_the_token_are_its_last_value():
  cfg = _config("map:4 y:12 x:12 text:90 text2:80 letters:4", 40)
  atlas = _grown(atlas_lib.empty(cfg), _printing(*_STORY), cfg)
  told = _read(atlas, [100, 101, 102, 103, 104])
  assert [letters for _, letters in told] == [1, 2, 3, 3, 0]


def _told(*numbers, change=lambda rows: rows, first=None):
  """What is read of texts after these were shown, and before them others."""
  atlas = atlas_lib.empty(_LETTERED) if first is None else first
  atlas = _grown(atlas, change(_printing(*numbers)), _LETTERED)
  return dict(zip(_WRITTEN, _read(atlas, list(_WRITTEN)), strict=True)), atlas


def test_a_text_that_is_closed_more_often_than_gone_on_with_is_whole():
  assert _told(102, 104, 0, 102, 0, 0)[0][102] == (102, 0)  # once each
  assert _told(102, 104, 0, 102, 104, 0, 102, 0)[0][102] == (104, 4)


def test_rows_that_do_not_follow_each_other_say_nothing():
  def other_place(rows):
    rows["x"][1] += 1
    return rows

  def other_episode(rows):
    rows["is_first"][1] = True
    return rows

  assert _told(102, 104)[0][102] == (104, 4)
  for change in (other_place, other_episode):
    assert _told(102, 104, change=change)[0][102] == (102, 0)


def test_a_box_that_is_still_empty_is_a_beginning():
  def not_yet(rows):
    rows["frame"][0] = _box()
    return rows

  told, atlas = _told(100, 104, 104, 0, change=not_yet)
  assert told[100] == (104, 1)
  hot = world_model.read_tokens(
    _LETTERED, {"atlas": atlas_lib.leaves(atlas)}, _printing(100, 104)
  )
  box = atlas_texts.box(atlas, _LETTERED.token_sizes, hot)
  screen = np.asarray(atlas_texts.screen(atlas, box, _VOCAB))
  assert (screen[0] != screen[1]).any()
  shown = tiles.encode(fakes.table(_VOCAB), _box(*_WRITTEN[104]))
  np.testing.assert_array_equal(screen[1, 240:], shown[240:])


def test_who_begins_what_was_known_is_taken_for_the_same_whole():
  # 102 is the beginning of 103 at first, which later goes on as 104.
  told, first = _told(102, 103, 103, 0)
  assert told[102] == (103, 4)
  told, _ = _told(*_STORY, first=first)
  assert told[101] == (103, 2)
  assert told[102] == (103, 4) and told[103] == (103, 0)


def test_rows_that_fill_the_atlas_say_nothing_of_texts():
  rows = _printing(*_STORY)
  table = fakes.table(_VOCAB)
  atlas = _grown(atlas_lib.empty(_LETTERED), _printing(102, 0), _LETTERED)
  filled = atlas_counts.fill(_LETTERED, table, atlas, [rows]).atlas
  for name in ("texts", "boxes", "wholes", "letters"):
    np.testing.assert_array_equal(getattr(filled, name), getattr(atlas, name))


def test_a_block_whose_votes_were_dropped_stays_what_it_was():
  atlas = _grown(atlas_lib.empty(_LETTERED), _printing(102), _LETTERED)
  counts = _counts(_printing(102, 102), _LETTERED).texts
  kept = counts.boxes[0] % 30 != 4
  few = dataclasses.replace(
    counts, boxes=tuple(part[kept] for part in counts.boxes)
  )
  chex.assert_trees_all_equal(atlas_texts.extend(atlas, few), atlas)


def test_how_many_are_known_and_how_many_found_no_room():
  small = _config("map:4 y:12 x:12 text:90 text2:80 letters:20", 3)
  rows = _printing(*_STORY)
  atlas = _grown(atlas_lib.empty(small), rows, small)
  counts = _counts(rows, small).texts
  assert (
    atlas_texts.known(atlas) == 3
    and atlas_texts.known(atlas_lib.empty(small)) == 0
  )
  assert atlas_texts.no_room(atlas, counts) == len(_WRITTEN) - 3


def test_what_a_text_was_taken_for_stays():
  first = _grown(atlas_lib.empty(_LETTERED), _printing(102, 102), _LETTERED)
  assert _read(first, [102]) == [(102, 0)]
  after = _grown(first, _printing(*_STORY), _LETTERED)
  assert _read(after, [100, 102, 103]) == [(102, 1), (102, 0), (104, 6)]


def test_without_boxes_all_texts_are_whole():
  for atlas in ("off", "counted"):
    cfg = dataclasses.replace(_LETTERED, atlas=atlas, atlas_boxes=0)
    params = world_model.shapes(cfg)
    if atlas == "counted":
      params = {"atlas": atlas_lib.leaves(atlas_lib.empty(cfg))}
    hot = world_model.read_tokens(cfg, params, _printing(100, 104, 0))
    found = np.asarray(tokens.numbers(cfg.token_sizes, hot))[:, -3:]
    expected = [100 % 89 + 1, 100 % 79 + 1, 0], [104 % 89 + 1, 104 % 79 + 1, 0]
    assert found.tolist() == [*expected, [0, 0, 0]]


def test_players_and_observers_read_the_same_letters():
  cfg = _LETTERED
  params = fakes.params(cfg, noise=0.3)
  atlas = _grown(atlas_lib.empty(cfg), _printing(*_STORY), cfg)
  params = {**params, "atlas": atlas_lib.leaves(atlas)}
  rows = _printing(0, 101, 103, 104)
  batch = {name: jnp.asarray(value)[None] for name, value in rows.items()}
  batch["is_first"] = jnp.array([[True, False, False, False]])
  batch["first_action_tm1"] = jnp.zeros((1,), jnp.int32)
  observe = fakes.jit(functools.partial(world_model.observe, cfg))
  seen = observe(params, jax.random.key(0), batch)
  found = tokens.numbers(cfg.token_sizes, seen.state.tokens)[0]
  names = list(cfg.token_sizes)
  assert found[:, names.index("letters")].tolist() == [0, 2, 6, 0]
  text = found[:, names.index("text")].tolist()
  assert text == [0, *[104 % 89 + 1] * 3]


def test_players_take_what_they_read_of_texts_along():
  for overrides, taken in (
    ({}, True),
    ({"atlas_around": False}, True),
    ({"atlas_around": False, "tokens": _TOKENS}, False),
    ({"atlas_boxes": 0, "atlas_around": False}, False),
    ({"atlas": "off"}, False),
  ):
    cfg = dataclasses.replace(_LETTERED, **overrides)
    kept = acting.acting_params(cfg, world_model.shapes(cfg))
    assert ("atlas" in kept) == taken, overrides
