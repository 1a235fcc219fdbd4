"""Where episodes of play went and what was pressed, and loops counted in them.

A cell is a place of one player: map, y and x. Rows of an episode are those up
to its end; what lies behind is zero.
"""

import dataclasses
from typing import Any

import numpy as np

from pokedreamer_jax import specs

# An episode is stuck in a row if its cell (battle or not) is that of more than
# `LOOP_VISITS` of the last `LOOP_ROWS` rows, this one among them.
LOOP_ROWS, LOOP_VISITS = 100, 20

# What a trace keeps of the step contract.
FIELDS = (
  *("map_id", "y", "x", "in_battle", "game_running", "action", "party_level"),
)


@dataclasses.dataclass(frozen=True)
class Traces:
  """Rows of `N` episodes of at most `T` steps."""

  cell: np.ndarray  # [N, T, 3] uint8: map, y, x
  battle: np.ndarray  # [N, T] bool
  running: np.ndarray  # [N, T] bool, False on the title screen
  action: np.ndarray  # [N, T] uint8; the last row's was never pressed
  level: np.ndarray  # [N, T] uint8, of the first creature; 0: none


@dataclasses.dataclass(frozen=True)
class Visits:
  """How often each cell was stood on, by all episodes of a player."""

  cell: np.ndarray  # [C, 3] uint8: map, y, x, in order
  rows: np.ndarray  # [C] int64, rows of play outside battles


def blank(episodes: int, length: int) -> Traces:
  """Traces of which no row is known yet."""
  return Traces(
    cell=np.zeros((episodes, length, 3), np.uint8),
    battle=np.zeros((episodes, length), bool),
    running=np.zeros((episodes, length), bool),
    action=np.full((episodes, length), specs.PASS, np.uint8),
    level=np.zeros((episodes, length), np.uint8),
  )


def put(traces: Traces, at: Any, rows: dict[str, np.ndarray]) -> None:
  """Writes rows of `FIELDS`, but for the action, at an index of `[N, T]`."""
  place = [rows[name] for name in ("map_id", "y", "x")]
  traces.cell[at] = np.stack(place, axis=-1)
  traces.battle[at] = rows["in_battle"] != 0
  traces.running[at] = rows["game_running"]
  traces.level[at] = rows["party_level"][..., 0]


def visits(traces: Traces, steps: np.ndarray) -> Visits:
  """Cells that were stood on; battles and the title screen are no places.

  Args:
    traces: of `N` episodes.
    steps: `[N]`, rows played.
  """
  walked = _played(traces, steps) & traces.running & ~traces.battle
  cell, rows = np.unique(traces.cell[walked], axis=0, return_counts=True)
  return Visits(cell.reshape(-1, 3), rows.astype(np.int64))


def cells(traces: Traces, steps: np.ndarray) -> np.ndarray:
  """How many cells each episode stood on, `[N]` float64."""
  each = [
    len(visits(_episode(traces, i), steps[i : i + 1]).cell)
    for i in range(len(steps))
  ]
  return np.array(each, np.float64)


def stuck(traces: Traces, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Shares of the rows of each episode, `[N]` float64 each: stuck, and walking.

  A row is stuck if more than `LOOP_VISITS` of the last `LOOP_ROWS` rows (fewer
  at the start), itself among them, have its map, y, x and battle flag. The
  second share is of rows that are so outside battles: a battle stays in its
  cell for as long as it takes.
  """
  cell = traces.cell.astype(np.int64)
  key = (cell[..., 0] << 16) + (cell[..., 1] << 8) + cell[..., 2]
  key = 4 * key + 2 * traces.running + traces.battle
  same = np.ones(key.shape, np.int64)
  for lag in range(1, min(LOOP_ROWS, key.shape[1])):
    same[:, lag:] += key[:, lag:] == key[:, :-lag]
  found = (same > LOOP_VISITS) & _played(traces, steps)
  outside = found & ~traces.battle
  return found.sum(axis=1) / steps, outside.sum(axis=1) / steps


def _played(traces: Traces, steps: np.ndarray) -> np.ndarray:
  """Rows `[N, T]` that were played."""
  return np.arange(traces.battle.shape[1]) < np.asarray(steps)[:, None]


def _episode(traces: Traces, i: int) -> Traces:
  return Traces(
    **{
      field.name: getattr(traces, field.name)[i : i + 1]
      for field in dataclasses.fields(Traces)
    }
  )
