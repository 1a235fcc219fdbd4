"""The tree of moments, and what is kept of each."""

import numpy as np
import pytest

from experiments.dreaming import moments
from tests.pokedreamer_jax import fakes


def _tree(parents, **named):
  tree = moments.Tree()
  for number, parent in enumerate(parents):
    tree.add(
      moments.Moment(
        number=-1,
        parent=parent,
        steps=0 if parent is None else tree[parent].steps + 1,
        state=b"",
        frame=b"",
        beliefs={},
        action=None if parent is None else number % 8,
        luck=number,
        follows=number == named.get("follows"),
      )
    )
  return tree


def test_paths_and_steps_back():
  tree = _tree([None, 0, 1, 2, 1, 4])
  assert [m.number for m in tree.path(tree[5])] == [0, 1, 4, 5]
  assert tree.back(tree[5], 1).number == 4
  assert tree.back(tree[5], 99).number == 0


def test_knots_are_start_forks_ends_saved_set_and_here():
  #    0 - 1 - 2 - 3 - 6
  #         \- 4 - 5
  tree = _tree([None, 0, 1, 2, 1, 4, 3], follows=2)
  found = {m.number: above for m, above in tree.knots(tree[3])}
  assert found == {0: None, 1: 0, 2: 1, 3: 2, 5: 1, 6: 3}
  tree.save(tree[4], "by the lake")
  found = {m.number: above for m, above in tree.knots(tree[6])}
  assert found == {0: None, 1: 0, 2: 1, 4: 1, 5: 4, 6: 2}
  assert tree.since_knot(tree[6]).number == 2
  assert tree.since_knot(tree[5]).number == 4


def test_names_are_plain_and_few(monkeypatch):
  monkeypatch.setattr(moments, "MOST_SAVED", 1)
  tree = _tree([None, 0])
  tree.save(tree[0], "  a \n b ")
  assert tree[0].name == "a b"
  tree.save(tree[0], "c")  # another name for the same
  with pytest.raises(ValueError, match="1 moments are saved"):
    tree.save(tree[1], "d")
  tree.save(tree[0], "")
  tree.save(tree[1], "d")
  for bad in ("x" * 41, "\x1b[2J"):
    with pytest.raises(ValueError, match="name"):
      tree.save(tree[1], bad)


def test_frames_and_arrays_come_back():
  frame = fakes.screens()[3]
  packed = moments.pack_frame(frame)
  np.testing.assert_array_equal(moments.unpack_frame(packed), frame)
  rng = np.random.default_rng(0)
  leaves = [
    rng.normal(size=(3, 4)).astype(np.float32),
    np.array(True),
    rng.integers(2, size=7).astype(bool),
    np.zeros(0, np.float32),
  ]
  found = moments.unpack_tree(moments.pack_tree(leaves), leaves)
  for one, other in zip(leaves, found, strict=True):
    np.testing.assert_array_equal(one, other)
    assert one.dtype == other.dtype
