"""A judge that finds what is there to be found, and nothing else."""

import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.evaluation import blind
from pokedreamer_jax.evaluation import blind_marks

_STEPS, _SHORT = 24, 8
_STARTS, _GROUPS = 32, 8
_SIZE = 40  # cells of the world, each two tiles high and wide
_WALL, _WATER = 0, 1  # cells; water is one of two pictures, as luck has it


class World:
  """A map that scrolls under who walks on it, with walls and restless water."""

  def __init__(self, rng):
    cells = rng.integers(6, size=(_SIZE, _SIZE))
    cells[cells == 2] = _WALL  # a third of all
    self.cells = cells.repeat(2, axis=0).repeat(2, axis=1)[:_SIZE, :_SIZE]
    inner = np.zeros_like(self.cells, bool)
    inner[6:-6, 6:-6] = True
    self.cells[~inner] = _WALL  # where the world ends
    # Seven pictures of 2 x 2 tiles; the last is water's other one.
    self.pictures = rng.integers(256, size=(7, 2, 2, 8, 2), dtype=np.uint8)
    self.player = rng.integers(256, size=(2, 2, 8, 2), dtype=np.uint8)

  def start(self, rng):
    while True:
      at = rng.integers(6, _SIZE - 6, size=2)
      if self.cells[tuple(at)] != _WALL:
        return at

  def play(self, luck, at, action, solid=True):
    """Packed frames `[T + 1, 144, 40]` from `at` under buttons."""
    moves = {"down": (1, 0), "up": (-1, 0), "left": (0, -1), "right": (0, 1)}
    frames = [self._screen(luck, at)]
    for number in action:
      to = at + np.array(moves.get(specs.ACTIONS[number], (0, 0)))
      inside = ((to >= 6) & (to < _SIZE - 6)).all()
      if inside and not (solid and self.cells[tuple(to)] == _WALL):
        at = to
      frames.append(self._screen(luck, at))
    return np.stack(frames)

  def _screen(self, luck, at):
    seen = self.cells[at[0] - 4 : at[0] + 5, at[1] - 4 : at[1] + 6].copy()
    seen[(seen == _WATER) & (luck.random(seen.shape) < 0.02)] = 6
    grid = self.pictures[seen]  # [9, 10, 2, 2, 8, 2]
    grid[4, 4] = self.player
    grid = grid.transpose(0, 2, 4, 1, 3, 5)
    return grid.reshape(specs.FRAME_HEIGHT, specs.PACKED_WIDTH)


def _buttons(rng):
  """Held for some steps each, as who goes somewhere does."""
  return rng.integers(8, size=_STEPS, dtype=np.uint8).repeat(3)[:_STEPS]


@pytest.fixture(scope="module")
def world():
  return World(np.random.default_rng(0))


@pytest.fixture(scope="module")
def seen(world):
  rng = np.random.default_rng(1)
  plays = []
  for _ in range(60):
    action = np.append(
      np.concatenate([_buttons(rng) for _ in range(4)]), specs.PASS
    ).astype(np.uint8)
    plays.append((world.play(rng, world.start(rng), action[:-1]), action))
  return blind_marks.look(plays)


@pytest.fixture(scope="module")
def clips(world):
  """Starts, buttons, and two courses that luck made of each."""
  rng = np.random.default_rng(2)
  starts = [world.start(rng) for _ in range(_STARTS)]
  action = np.stack([_buttons(rng) for _ in range(_STARTS)])
  real, again = (
    np.stack(
      [world.play(rng, *one) for one in zip(starts, action, strict=True)]
    )
    for _ in range(2)
  )
  again[:, 0] = real[:, 0]
  return starts, action, real, again


def _told(clips, seen, other):
  _, action, real, _ = clips
  groups = np.arange(_STARTS) % _GROUPS
  pairs = blind.Pairs(real, other, action, groups)
  found = blind.judge(pairs, seen, [_SHORT, _STEPS], folds=4)
  assert found.by_step.shape == (_STARTS, _STEPS)
  return blind.told_apart(found, pairs, 200), found


def _broken(kind, world, clips):
  starts, action, _, again = clips
  rng = np.random.default_rng(3)
  if kind == "wrong tiles":
    return blind.exchanged(0, again, 3)
  if kind == "jumps":
    return blind.jumped(again, 4)
  if kind == "halts":
    return blind.stuttered(again, 4)
  others = np.roll(action, 5, axis=0) if kind == "deaf" else action
  solid = kind != "through walls"
  return np.stack(
    [world.play(rng, *one, solid) for one in zip(starts, others, strict=True)]
  )


@pytest.mark.parametrize(
  "kind", ["wrong tiles", "jumps", "halts", "deaf", "through walls"]
)
def test_a_broken_dream_is_found_out(world, seen, clips, kind):
  told, _ = _told(clips, seen, _broken(kind, world, clips))
  long = told[str(_STEPS)]
  # Every third or so of the courses meets no wall, and is right.
  least = 0.5 if kind == "through walls" else 0.65
  assert long["wilson"]["low"] > least, long
  assert long["share"]["low"] > least, long
  if kind != "through walls":
    assert told[str(_SHORT)]["wilson"]["low"] > 0.5, told


def test_the_game_is_not_told_from_the_game(world, seen, clips):
  _, _, real, again = clips
  assert (real != again).any(axis=(1, 2, 3)).mean() > 0.9
  told, _ = _told(clips, seen, again)
  for found in told.values():
    assert found["wilson"]["low"] < 0.5 < found["wilson"]["high"], told
  # Nor is a course that is the very same one: no pair says anything.
  told, found = _told(clips, seen, real.copy())
  assert told[str(_STEPS)]["identical"] == _STARTS
  assert told[str(_STEPS)]["share"]["mean"] == 0.5
  assert not found.by_step.any()


def test_what_gives_a_dream_away_is_named(world, seen, clips):
  _, found = _told(clips, seen, _broken("wrong tiles", world, clips))
  first = blind.gives_away(found)[0]
  assert "neighbours never seen" in first["mark"]
  assert first["other_more"] == 1.0 and first["other"] > 3 * first["real"]
  _, found = _told(clips, seen, _broken("halts", world, clips))
  told = {one["mark"]: one for one in blind.gives_away(found)[:8]}
  assert told["surprise of the move"]["other_more"] > 0.8


def test_marks_count_what_they_are_called(world, seen):
  rng = np.random.default_rng(4)
  at = world.start(rng)
  press = lambda *names: np.array([specs.ACTIONS.index(n) for n in names])

  def marks(frames, action):
    counted = blind_marks.marks(seen, frames, action)
    return dict(zip(blind_marks.MARKS, counted.T, strict=True))

  class Calm:
    random = staticmethod(np.ones)  # no water moves

  ways = press("down", "up", "left", "right", "a")
  free = world.play(Calm, at, ways, solid=False)
  found = marks(free, ways)
  np.testing.assert_array_equal(found["walks as pressed"], [1, 1, 1, 1, 0])
  np.testing.assert_array_equal(found["screen as before"], [0, 0, 0, 0, 1])
  # Down, up: home again; left, right as well.
  back = found["screen as two steps before"]
  np.testing.assert_array_equal(back, [0, 1, 0, 1, 0])
  # The player alone does not scroll: its tiles, and those it had covered.
  left = found["tiles that a walk leaves unexplained"]
  assert (left[:4] > 0).all() and (left[:4] <= 10).all() and left[4] == 0
  assert not found["tile never seen"].any()

  wrong = press("up", "down", "right", "left", "a")
  found = marks(free, wrong)
  np.testing.assert_array_equal(found["walks otherwise"], [1, 1, 1, 1, 0])
  assert not found["walks as pressed"].any()
  stays = np.repeat(free[:1], 3, axis=0)
  found = marks(stays, press("left", "a"))
  np.testing.assert_array_equal(
    found["stays where a direction was pressed"], [1, 0]
  )

  # A wall: everybody stayed before it. Grass: everybody walked onto it.
  for kind, solid, mark in (
    (_WALL, False, "walks onto what nobody walked onto"),
    (3, True, "stays before what nobody stayed before"),
  ):
    at = next(
      at
      for at in zip(*np.nonzero(world.cells[8:-8, 8:-8] == kind), strict=True)
      if world.cells[at[0] + 8, at[1] + 7] == 3
    )
    before = np.array([at[0] + 8, at[1] + 7])
    walk = world.play(Calm, before, press("right"), solid)
    if kind != _WALL:
      walk = np.repeat(walk[:1], 2, axis=0)
    assert marks(walk, press("right"))[mark] == [1]
    usual = world.play(Calm, before, press("right"))
    assert marks(usual, press("right"))[mark] == [0]

  marked = free.copy()
  marked[2, 8:16, 4:6] = 0x55  # a tile that the world has not
  found = marks(marked, ways)
  np.testing.assert_array_equal(found["tile never seen"], [0, 1, 0, 0, 0])
  assert found["four neighbours never seen"][1] == 4
  assert found["screen never seen"][1] == 1
  flicker = found["tiles as two steps before, and not between"]
  assert flicker[4] == 0
  odd = blind_marks.odd_tiles(seen, marked[2:3])[0]
  # The tile, and its neighbours, with which it was never seen.
  assert odd[:3, 1:4].all() and odd.sum() == 9
  assert not blind_marks.odd_tiles(seen, free[2:3]).any()


def test_what_was_not_seen_together_is_known_from_many_episodes(world, seen):
  rng = np.random.default_rng(5)
  action = _buttons(rng)
  plays = [(world.play(rng, world.start(rng), action[:-1]), action)] * 2
  few = blind_marks.look(plays)
  assert few.rows == 2 * _STEPS
  assert len(few.blocks[-1]) < len(seen.blocks[-1])
  # Of what it was shown nothing is new, its answers included.
  counted = blind_marks.marks(few, plays[0][0], action[:-1])
  known = dict(zip(blind_marks.MARKS, counted.T, strict=True))
  for name, found in known.items():
    if "never seen" in name:
      assert not found.any(), name
  with pytest.raises(ValueError, match="plays: none"):
    blind_marks.look([])


def test_exchanged_tiles_are_tiles_of_the_frame(clips):
  real = clips[2]
  broken = blind.exchanged(0, real, 3)
  np.testing.assert_array_equal(broken[:, 0], real[:, 0])  # the start stays
  tiles = lambda clips: clips.reshape(*clips.shape[:2], 18, 8, 20, 2)
  differ = (tiles(broken) != tiles(real)).any(axis=(3, 5)).sum(axis=(2, 3))
  assert differ.max() == 3 and differ[:, 1:].mean() > 2
  a, b = (
    tiles(clips)[4, 2].transpose(0, 2, 1, 3).reshape(-1, 16).tolist()
    for clips in (broken, real)
  )
  assert all(tile in b for tile in a)


def test_other_breaks_are_what_they_are_called():
  clips = np.arange(4 * 9).reshape(4, 9, 1, 1)
  jumped = blind.jumped(clips, 3)
  np.testing.assert_array_equal(jumped[:, :3], clips[:, :3])
  np.testing.assert_array_equal(jumped[0, 3:], clips[2, 3:])
  halting = blind.stuttered(clips, 4)[0, :, 0, 0]
  np.testing.assert_array_equal(halting, [0, 1, 2, 3, 3, 5, 6, 7, 7])


def test_episodes_are_asked_whole_by_who_never_saw_them(clips, seen):
  groups = np.array([3, 3, 3, 1, 1, 2, 5, 3])
  part = blind._parts(groups, 3)
  for group in np.unique(groups):
    assert len(set(part[groups == group])) == 1
  assert set(part) == {0, 1, 2}
  with pytest.raises(ValueError, match="expected 2 or more"):
    blind._parts(np.zeros(4, int), 3)
  _, action, real, again = clips
  pairs = blind.Pairs(real, again, action, np.arange(_STARTS))
  with pytest.raises(
    ValueError, match=r"steps: \[25\], expected some of 1..24"
  ):
    blind.judge(pairs, seen, [25])


def test_two_sides_changed_are_told_as_well(world, seen, clips):
  """Nothing hangs on which side is called the other one."""
  _, action, real, _ = clips
  broken = _broken("halts", world, clips)
  groups = np.arange(_STARTS) % _GROUPS
  one, other = (
    blind.judge(blind.Pairs(*sides, action, groups), seen, [_STEPS])
    for sides in ((real, broken), (broken, real))
  )
  np.testing.assert_allclose(one.lead[_STEPS], other.lead[_STEPS], rtol=1e-6)
