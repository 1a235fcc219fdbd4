"""The mode of a row."""

import numpy as np

from pokedreamer_jax.evaluation import modes


def test_modes_by_hand():
  # running, in_battle, menu_open, dialog_open
  cases = {
    (0, 1, 1, 1): "title",
    (1, 1, 1, 1): "battle",
    (1, 255, 0, 0): "battle",
    (1, 0, 1, 1): "menu",
    (1, 0, 0, 1): "dialog",
    (1, 0, 0, 0): "overworld",
  }
  table = np.array(list(cases), np.uint8)
  names = ("game_running", "in_battle", "menu_open", "dialog_open")
  rows = {name: table[:, i] for i, name in enumerate(names)}
  found = [modes.MODES[m] for m in modes.modes_of(rows)]
  assert found == list(cases.values())
