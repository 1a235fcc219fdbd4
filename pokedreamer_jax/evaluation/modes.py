"""What the game is doing in a row: walking, talking, fighting, a menu."""

from collections.abc import Mapping

import numpy as np

MODES = ("overworld", "dialog", "menu", "battle", "title")


def modes_of(rows: Mapping[str, np.ndarray]) -> np.ndarray:
  """Index into `MODES` `[...]` of rows with the RAM fields `[...]`.

  A menu counts before the text that it stands in, a battle before its menu;
  "title" is where no game runs, and everywhere in an unknown game.
  """
  return np.select(
    [
      ~rows["game_running"].astype(bool),
      rows["in_battle"] != 0,
      rows["menu_open"].astype(bool),
      rows["dialog_open"].astype(bool),
    ],
    [MODES.index(name) for name in ("title", "battle", "menu", "dialog")],
    MODES.index("overworld"),
  )
