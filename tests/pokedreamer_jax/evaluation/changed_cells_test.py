"""Cells that change, against a count block by block."""

import json

import numpy as np

from pokedreamer_jax.evaluation import changed_cells
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib
from tests.pokedreamer_jax import fakes

_CONTEXT = 2
_VOCAB = 18  # the screens are made of 20 tiles: some are escapes


def _world():
  """Windows of a walk over one big picture, in which some blocks change."""
  rng = np.random.default_rng(0)
  table = tiles.build([fakes.screens()], _VOCAB)
  windows = fakes.windows(5, _CONTEXT + 6)
  art = fakes.screens()[:, :16].reshape(-1, 16, 10, 4)
  art = art.transpose(0, 2, 1, 3).reshape(-1, 16, 4)  # blocks
  picture = rng.integers(len(art), size=(40, 40))
  shape = windows["action"].shape
  windows["game_running"][:] = True
  windows["in_battle"][:] = rng.random(shape) < 0.1
  for name in ("menu_open", "dialog_open"):
    windows[name][:] = False
  windows["map_id"][:] = rng.random(shape) < 0.2
  walk = rng.integers(-1, 2, size=(2, *shape)).cumsum(axis=2)
  for name, steps in zip(("y", "x"), walk, strict=True):
    windows[name] = (12 + steps).astype(np.uint8)
  for w, t in np.ndindex(shape):
    y, x = (int(windows[name][w, t]) for name in ("y", "x"))
    seen = picture[y - 4 : y + 5, x - 4 : x + 6].copy()
    lost = rng.random() < 0.15  # a fade: nothing is where it was
    seen[rng.random(seen.shape) < (0.9 if lost else 0.15)] = 0
    screen = art[seen].transpose(0, 2, 1, 3).reshape(144, 40)
    windows["frame"][w, t] = screen
  ahead = windows["frame"][:, _CONTEXT:].copy()
  ahead[rng.random(ahead.shape) < 0.002] ^= 1
  pages = np.zeros((2, 4, 4), np.int32)
  pages[0] = 1 + np.arange(16).reshape(4, 4)
  held = np.full((17 * 64, 4), _VOCAB, np.int32)
  memory = atlas_lib.Atlas(pages, held, np.arange(_VOCAB + 1)[:, None])
  for y, x in np.ndindex(23, 23):
    if rng.random() < 0.9:
      frame = np.tile(art[picture[y, x]], (9, 10))[None]
      number = tiles.encode_numpy(table, frame)[0, :4]
      held[atlas_lib.cells(memory, 0, y, x)] = number
  return table, memory, windows, ahead


def _block(frame, r, c):
  return frame[16 * r : 16 * r + 16, 4 * c : 4 * c + 4]


def _reference(table, atlas, windows, ahead):
  """What each block is, and whether it is right, by loops."""
  found = {kind: [] for kind in (*changed_cells.KINDS, "off_grid")}
  rows = off_grid = 0
  for w, h in np.ndindex(ahead.shape[:2]):
    t = h + _CONTEXT
    row = {
      name: windows[name][w, t]
      for name in windows
      if name != "frame" and windows[name].ndim > 1
    }
    last = {name: windows[name][w, t - 1] for name in row}
    if row["in_battle"]:
      continue
    rows += 1
    truth, before = windows["frame"][w, t], windows["frame"][w, t - 1]
    numbers = tiles.encode_numpy(table, truth[None])[0].reshape(9, 10, 4)
    blocks = []
    for r, c in np.ndindex(9, 10):
      y, x = int(row["y"]) + r - 4, int(row["x"]) + c - 4
      held = atlas.tiles[atlas_lib.cells(atlas, int(row["map_id"]), y, x)]
      right = [
        np.array_equal(_block(ahead[w, h], r, c), _block(truth, r, c)),
        np.array_equal(_block(before, r, c), _block(truth, r, c)),
        None,
      ]
      r0, c0 = y - int(last["y"]) + 4, x - int(last["x"]) + 4
      if row["map_id"] == last["map_id"] and 0 <= r0 < 9 and 0 <= c0 < 10:
        right[2] = np.array_equal(_block(before, r0, c0), _block(truth, r, c))
      player = (r, c) in ((4, 4), (3, 4))
      known = all(number < _VOCAB for number in held)
      same = list(held) == list(numbers[r, c])
      blocks.append((player, known, same, right))
    told = [same for player, known, same, _ in blocks if known and not player]
    if 2 * sum(told) < len(told):
      off_grid += 1
      found["off_grid"] += [right for *_, right in blocks]
      continue
    for player, known, same, right in blocks:
      if player:
        found["player"].append(right)
      elif not known:
        found["unknown"].append(right)
      elif same:
        found["agrees"].append(right)
      else:
        found["changed"].append(right)
        if right[2] is False:
          found["changed_now"].append(right)
  return rows, off_grid, found


def test_shares_are_those_of_a_count_block_by_block():
  table, atlas, windows, ahead = _world()
  rows, off_grid, expected = _reference(table, atlas, windows, ahead)
  found = changed_cells.measure(
    *(table, atlas, windows, _CONTEXT, ahead, np.arange(5), 50)
  )
  json.dumps(found, allow_nan=False)
  assert (found["rows"], found["off_grid_rows"]) == (rows, off_grid)
  assert 0 < off_grid < rows < ahead.shape[0] * ahead.shape[1]
  for kind, blocks in expected.items():
    assert len(blocks) > 5, kind
    assert found[kind]["blocks"] == len(blocks), kind
    for i, name in enumerate(("ahead", "previous", "previous_cell")):
      told = [right[i] for right in blocks if right[i] is not None]
      assert found[kind][name]["count"] == len(told)
      np.testing.assert_allclose(found[kind][name]["mean"], np.mean(told))
  changed, same = len(expected["changed"]), len(expected["agrees"])
  np.testing.assert_allclose(found["share"]["mean"], changed / (changed + same))


def test_without_an_overworld_row_there_is_nothing_to_say(monkeypatch):
  table, atlas, windows, ahead = _world()
  windows["in_battle"][:] = 1
  found = changed_cells.measure(
    *(table, atlas, windows, _CONTEXT, ahead, np.arange(5), 50)
  )
  assert found == {"rows": 0, "off_grid_rows": 0}


def test_rows_are_taken_in_pieces(monkeypatch):
  table, atlas, windows, ahead = _world()
  given = (table, atlas, windows, _CONTEXT, ahead, np.arange(5), 50)
  whole = changed_cells.measure(*given)
  monkeypatch.setattr(changed_cells, "_CHUNK", 7)
  assert changed_cells.measure(*given) == whole
