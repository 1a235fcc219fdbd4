"""The atlas: what is counted, where it is found again, and how it grows."""

import collections
import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.config import presets
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import atlas_counts
from pokedreamer_jax.world_model import tokens
from pokedreamer_jax.world_model import votes
from tests.pokedreamer_jax import fakes

_CFG = fakes.config("world_model.atlas=counted").world_model
_VOCAB = _CFG.tile_vocab


def _rows(length, seed=0):
  """Rows of a made-up game in which one can mostly walk."""
  rows = fakes.steps(length, seed)
  rng = np.random.default_rng(seed)
  for name, values, odds in (
    ("map_id", (0, 1, 7, 9), (0.5, 0.3, 0.1, 0.1)),  # 9 has no token value
    ("in_battle", (0, 1), (0.9, 0.1)),
    ("has_control", (True, False), (0.9, 0.1)),
    ("dialog_open", (False, True), (0.9, 0.1)),
    ("menu_open", (False, True), (0.9, 0.1)),
    ("game_running", (True, False), (0.9, 0.1)),
  ):
    rows[name] = rng.choice(values, size=length, p=odds).astype(
      rows[name].dtype
    )
  for name in ("x", "y"):
    rows[name] = rng.integers(0, 14, length).astype(np.uint8)
  return rows


def _reference(rows):
  """(map, y, x) -> the most frequent four tiles, row by row and block by block.

  The tiles are those of the frame; nothing here is shared with the code.
  """
  table = fakes.table(_VOCAB)
  shown = np.asarray(jax.jit(tiles.encode)(table, rows["frame"]))
  votes = collections.defaultdict(collections.Counter)
  seen = set()
  for t in range(len(shown)):
    place = tuple(int(rows[name][t]) for name in ("map_id", "y", "x"))
    view = (place, rows["frame"][t].tobytes())
    free = rows["has_control"][t] and rows["game_running"][t]
    busy = rows["dialog_open"][t] or rows["menu_open"][t]
    outside = place[0] > 7 or place[1] > 11 or place[2] > 11
    if not free or busy or rows["in_battle"][t] or outside or view in seen:
      continue
    seen.add(view)
    for r in range(9):
      for c in range(10):
        if (r, c) in ((4, 4), (3, 4)):
          continue
        block = shown[t, 4 * (10 * r + c) :][:4]
        cell = (place[0], place[1] + r - 4, place[2] + c - 4)
        votes[cell][tuple(block.tolist())] += 1
  return {
    cell: min(counted, key=lambda b: (-counted[b], b[::-1]))
    for cell, counted in votes.items()
  }, len(seen)


def _counts(rows, sizes=(10_000,), **kwargs):
  counter = atlas_counts.Counter(_CFG, fakes.table(_VOCAB), **kwargs)
  start, turn = 0, 0
  while start < len(rows["frame"]):
    stop = start + sizes[turn % len(sizes)]
    counter.add({name: array[start:stop] for name, array in rows.items()})
    start, turn = stop, turn + 1
  return counter.counts()


def test_a_screen_that_fades_does_not_vote():
  rows = _rows(300, 1)
  dark = np.arange(300) % 3 == 0
  rows["shade"][dark] = 2
  lit = _counts({name: array[~dark] for name, array in rows.items()})
  found = _counts(rows)
  assert 0 < found.views == lit.views
  for name in ("place", "block", "votes"):
    np.testing.assert_array_equal(getattr(found, name), getattr(lit, name))
  rows["shade"][:] = 0
  assert _counts(rows).views > lit.views


def _on_host(atlas):
  return jax.tree.map(np.asarray, atlas)


@functools.cache
def _made(length=900, seed=0):
  rows = _rows(length, seed)
  counts = _counts(rows)
  atlas, left_out = atlas_counts.extend(atlas_lib.empty(_CFG), counts)
  assert left_out == 0
  return rows, counts, _on_host(atlas)


def _all_places():
  return np.meshgrid(
    np.arange(-1, 9), np.arange(-12, 24), np.arange(-12, 24), indexing="ij"
  )


def test_cells_hold_what_was_seen_most_often():
  rows, counts, atlas = _made()
  expected, views = _reference(rows)
  assert counts.rows == len(rows["frame"]) and counts.views == views
  assert 0 < views < counts.rows
  places = _all_places()
  found = atlas.tiles[atlas_lib.cells(atlas, *places)]
  unknown = (_VOCAB,) * 4
  for *place, four in zip(
    *(p.ravel() for p in places), found.reshape(-1, 4), strict=True
  ):
    assert tuple(four) == expected.get(tuple(place), unknown), place
  assert atlas_lib.known_cells(atlas, _VOCAB).sum() == len(expected)


def test_the_player_does_not_stand_on_the_map():
  rows = {k: v[:1] for k, v in _rows(1).items()}
  for name in ("in_battle", "dialog_open", "menu_open", "map_id"):
    rows[name][:] = 0
  rows["has_control"][:] = rows["game_running"][:] = True
  rows["y"][:], rows["x"][:] = 6, 5
  atlas, _ = atlas_counts.extend(atlas_lib.empty(_CFG), _counts(rows))
  known = atlas_lib.known_cells(atlas, _VOCAB)
  own = atlas_lib.cells(_on_host(atlas), 0, np.array([6, 5]), np.array([5, 5]))
  assert known.sum() == 88 and not known[own].any()


def test_no_two_cells_share_a_number():
  _, _, atlas = _made()
  number = atlas_lib.cells(atlas, *_all_places())
  own = number[number > 0]
  assert len(np.unique(own)) == len(own) > 500
  assert own.max() < len(atlas.tiles)


def test_counts_do_not_depend_on_how_rows_are_cut(monkeypatch):
  monkeypatch.setattr(atlas_counts, "_PIECE_ROWS", 128)
  monkeypatch.setattr(votes, "_MANY", 2000)
  rows = _rows(900)
  for bound in (votes.MOST, 700):
    whole = _counts(rows, max_votes=bound)
    assert len(whole.place) <= bound
    for sizes in ((1,), (37, 300), (899,)):
      again = _counts(rows, sizes, max_votes=bound)
      chex.assert_trees_all_equal(
        dataclasses.asdict(whole), dataclasses.asdict(again)
      )


def test_an_atlas_grows_while_cells_keep_their_numbers():
  _, counts, before = _made()
  rows = _rows(300, seed=5)
  rows["map_id"][:] = 3
  more = _rows(900)
  more = {k: np.concatenate([more[k], rows[k]]) for k in more}
  grown, left_out = atlas_counts.extend(before, _counts(more))
  grown = _on_host(grown)
  assert left_out == 0
  old = atlas_lib.cells(before, *_all_places())
  new = atlas_lib.cells(grown, *_all_places())
  np.testing.assert_array_equal(old[old > 0], new[old > 0])
  assert (new > 0).sum() > (old > 0).sum()
  # What is counted at once is known alike, whatever its numbers.
  once, _ = atlas_counts.extend(atlas_lib.empty(_CFG), _counts(more))
  once = _on_host(once)
  np.testing.assert_array_equal(
    grown.tiles[new], once.tiles[atlas_lib.cells(once, *_all_places())]
  )
  again, _ = atlas_counts.extend(before, counts)
  chex.assert_trees_all_equal(before, _on_host(again))


def test_without_room_the_pages_seen_most_are_kept():
  _, counts, whole = _made()
  small = dataclasses.replace(_CFG, atlas_cells=4 * 64)
  atlas, left_out = atlas_counts.extend(atlas_lib.empty(small), counts)
  atlas = _on_host(atlas)
  assert left_out == whole.pages.max() - 3 and atlas.pages.max() == 3
  kept = atlas_lib.cells(atlas, *_all_places())
  all_ = atlas_lib.cells(whole, *_all_places())
  np.testing.assert_array_equal(
    atlas.tiles[kept[kept > 0]], whole.tiles[all_[kept > 0]]
  )
  assert (atlas.tiles[0] == _VOCAB).all()
  # Full: nothing more comes in, and nothing there is lost.
  again, left_again = atlas_counts.extend(atlas, counts)
  chex.assert_trees_all_equal(atlas, _on_host(again))
  assert left_again == left_out


def test_numpy_and_jax_find_the_same():
  _, _, atlas = _made()
  rng = np.random.default_rng(0)
  place = atlas_lib.Place(
    *(rng.integers(-3, 16, (6, 4)).astype(np.int32) for _ in range(3))
  )
  ahead = rng.integers(-1, 2, (6, 4, 2)).astype(np.int32)

  def find(atlas, place, ahead):
    return (
      atlas_lib.window(atlas, place),
      atlas_lib.screen(atlas, place),
      atlas_lib.around(atlas, place, ahead),
    )

  on_host = find(atlas, place, ahead)
  inside = jax.jit(find)(*jax.tree.map(jnp.asarray, (atlas, place, ahead)))
  chex.assert_trees_all_equal(on_host, _on_host(inside))
  assert [part.shape for part in on_host] == [
    (6, 4, 11, 12),
    (6, 4, 360),
    (6, 4, 7),
  ]
  for n in np.ndindex(6, 4):
    m, y, x = (int(part[n]) for part in (place.map, place.y, place.x))
    for r, c in np.ndindex(11, 12):
      cell = atlas_lib.cells(atlas, m, y + r - 5, x + c - 5)
      assert on_host[0][(*n, r, c)] == cell
    dy, dx = ahead[n]
    steps = [(0, 0), (1, 0), (0, -1), (0, 1), (-1, 0), (dy, dx)]
    expected = [
      atlas_lib.cells(atlas, m, y + i, x + j)
      for i, j in (*steps, (2 * dy, 2 * dx))
    ]
    np.testing.assert_array_equal(on_host[2][n], expected)


def test_a_walking_action_leads_ahead_and_else_the_facing():
  sizes = {"battle": 2, "facing": 4}
  for facing, looks in enumerate([(1, 0), (-1, 0), (0, -1), (0, 1)]):
    hot = tokens.one_hot(sizes, jnp.array([[1, facing]]))
    for number, name in enumerate(specs.ACTIONS):
      taken = {
        **{"down": (1, 0), "up": (-1, 0), "left": (0, -1), "right": (0, 1)}
      }.get(name)
      action = jax.nn.one_hot(jnp.array([number]), specs.NUM_ACTIONS)
      step = atlas_lib.step_ahead(sizes, hot, action)
      assert tuple(step[0].tolist()) == (taken or looks), (facing, name)
    none = jnp.zeros((1, specs.NUM_ACTIONS))
    step = atlas_lib.step_ahead(sizes, hot, none)
    assert tuple(step[0].tolist()) == looks
    blind = atlas_lib.step_ahead({"battle": 2}, hot[:, :2], none)
    assert tuple(blind[0].tolist()) == (0, 0)


def test_places_are_read_off_tokens():
  sizes = _CFG.token_sizes
  numbers = np.array([[1, 5, 3, 9, 2, 4], [0, 7, 11, 0, 1, 1]])
  hot = tokens.one_hot(sizes, jnp.asarray(numbers))
  hot = jnp.concatenate([hot, jnp.zeros((1, hot.shape[-1]))])
  place = atlas_lib.place(sizes, hot)
  assert place.map.tolist() == [5, 7, -1]
  assert place.y.tolist() == [3, 11, 0] and place.x.tolist() == [9, 0, 0]
  _, _, atlas = _made()
  seen = np.asarray(atlas_lib.window(jax.tree.map(jnp.asarray, atlas), place))
  assert (seen[2] == 0).all() and (seen[1] > 0).any()


def test_the_maps_of_pokemon_red_have_room():
  red = presets.make("v3").world_model
  cfg = dataclasses.replace(
    _CFG, tokens=red.tokens, tile_vocab=4000, atlas_cells=1 << 17
  )
  shapes = jax.eval_shape(lambda: atlas_lib.empty(cfg))
  assert shapes.pages.shape[0] == 256
  size = sum(
    leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes)
  )
  assert size < 4 << 20


def test_an_atlas_is_filled_with_what_rows_show():
  _, _, before = _made()
  rows = _rows(400, seed=7)
  rows["map_id"][:] = np.where(np.arange(400) % 2, 3, 4)
  parts = [
    {k: v[i : i + 90] for k, v in rows.items()} for i in range(0, 400, 90)
  ]
  table = fakes.table(_VOCAB)
  found = atlas_counts.fill(_CFG, table, before, parts)
  expected, no_room = atlas_counts.extend(before, _counts(rows))
  chex.assert_trees_all_equal(_on_host(expected), _on_host(found.atlas))
  seen, views = _reference(rows)
  assert (found.rows, found.views, found.cells) == (400, views, len(seen))
  assert found.lacking == 0 and found.no_room == no_room == 0
  # With one row of each place, whatever is seen there later.
  first, been = [], set()
  for t in range(400):
    one = {k: v[t : t + 1] for k, v in rows.items()}
    place = tuple(int(one[name][0]) for name in ("map_id", "y", "x"))
    if _reference(one)[1] and place not in been:
      been.add(place)
      first.append(t)
  assert 10 < len(first) < views
  once = atlas_counts.fill(_CFG, table, before, parts, once=True)
  chosen = {k: v[first] for k, v in rows.items()}
  assert once.rows == once.views == len(first)
  expected, _ = atlas_counts.extend(before, _counts(chosen))
  chex.assert_trees_all_equal(_on_host(expected), _on_host(once.atlas))


def test_tiles_that_the_dictionary_lacks_stay_escapes():
  rows = _rows(300)
  small = dataclasses.replace(_CFG, tile_vocab=8)
  found = atlas_counts.fill(
    small, fakes.table(8), atlas_lib.empty(small), [rows]
  )
  tiles_of = np.asarray(found.atlas.tiles)
  numbers = atlas_lib.cells(_on_host(found.atlas), *_all_places())
  seen = _reference(rows)[0]
  assert found.cells == len(seen)
  places = np.array(list(seen)).T
  held = tiles_of[atlas_lib.cells(_on_host(found.atlas), *places)]
  assert found.lacking == (held == 8).any(axis=-1).sum() > 0
  assert (numbers > 0).any()
