"""Paths of several players in one game, on the maps of a cartridge."""

import dataclasses

import numpy as np

from data_tools import cartridge
from data_tools.cartridge import tables as cartridge_tables
from data_tools.game import roms
from experiments.playing import play_episodes
from experiments.playing import play_traces
from experiments.reports import path_pictures
from pokedreamer_jax import specs

_ROM = roms.resolve(cartridge.CHAPTER_ONE)
_TABLES = cartridge_tables.of_rom(_ROM.sha1)
_HOME, _TOWN = _TABLES.places["home"].id, _TABLES.places["town"].id
_BADGES = specs.REWARD_TERMS.index("badges")


def _played(badge_steps, length=6):
  """Episodes that walk right through home, one with a battle at row 2."""
  count = len(badge_steps)
  traces = play_traces.blank(count, length)
  traces.cell[:, :, 0] = _HOME
  traces.cell[:, :, 1] = 3
  traces.cell[:, :, 2] = np.arange(length)
  traces.running[:, 1:] = True
  traces.battle[:, 2] = True
  terms = np.zeros((count, length, specs.NUM_REWARD_TERMS), np.float32)
  for episode, step in enumerate(badge_steps):
    if step is not None:
      terms[episode, step, _BADGES] = 1
  return play_episodes.Played(
    reward_terms=terms,
    steps=np.full(count, length - 1),
    beaten=np.zeros(count, bool),
    traces=traces,
  )


def _groups(paths):
  return path_pictures.true_groups(_ROM, paths)


def _where(image, colour):
  return np.argwhere((np.asarray(image) == colour).all(-1))


def test_the_game_with_the_median_badge_is_drawn():
  assert path_pictures.typical(_played([5, None, 1, 3])) == 3
  assert path_pictures.typical(_played([5, 1])) == 1
  assert path_pictures.typical(_played([None, None])) == 0


def test_a_path_has_what_was_walked_and_knows_where_the_badge_came():
  path = path_pictures.path(_played([2]), 0)
  # Row 0 is the title screen, row 2 a battle, row 5 was not played.
  assert path.cell[:, 2].tolist() == [1, 3, 4]
  assert path.badge == 1  # won in the battle, standing in the next row
  assert path_pictures.path(_played([None]), 0).badge is None


def test_who_is_drawn_in_this_order():
  one = _played([1])
  blind = dataclasses.replace(one, traces=None)
  played = {"policy": one, "demonstrator": one, "clone": blind, "random": one}
  assert path_pictures.names(played) == ["random", "policy"]
  assert path_pictures.names({"policy_scratch": one}) == ["policy_scratch"]
  assert path_pictures.names({"demonstrator": one}) == []


def test_lines_lie_beside_each_other_and_break_at_doors():
  cell = np.array([(_HOME, 3, 1), (_HOME, 3, 4 - 2), (_HOME, 3, 3)], np.uint8)
  paths = {
    name: path_pictures.Path(cell, badge)
    for name, badge in (("random", None), ("clone", None), ("policy", 2))
  }
  image = path_pictures.draw(_groups(paths), paths, "title")
  below = np.asarray(image)[54:]
  found = {
    name: _where(below, colour)
    for name, colour in path_pictures.COLOURS.items()
  }
  middle = {name: np.median(at[:, 0]) for name, at in found.items()}
  assert middle["random"] < middle["clone"] < middle["policy"]
  # The ring of the badge is wider than the dot of the beginning.
  height = {name: np.ptp(at[:, 0]) for name, at in found.items()}
  assert height["random"] == height["clone"] == 20
  assert height["policy"] == 36
  # From one map to another nothing is drawn across.
  jump = np.array([(_TOWN, 2, 2), (_TOWN, 9, 12), (_HOME, 3, 1)], np.uint8)
  alone = {"random": path_pictures.Path(jump, None)}
  drawn = _where(
    np.asarray(path_pictures.draw(_groups(alone), alone, "title"))[54:],
    path_pictures.COLOURS["random"],
  )
  assert len(drawn) < 600  # a dot and two points, no line of 10 cells


def test_a_place_beyond_its_map_is_left_out():
  cell = np.array([(_HOME, 99, 99), (_HOME, 3, 1)], np.uint8)
  paths = {"random": path_pictures.Path(cell, 0)}
  image = path_pictures.draw(_groups(paths), paths, "title")
  below = np.asarray(image)[54:]
  assert len(_where(below, path_pictures.COLOURS["random"])) > 0
