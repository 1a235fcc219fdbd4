"""Cells that were stood on, and loops, by hand."""

import numpy as np
import pytest

from experiments.playing import play_episodes
from experiments.playing import play_traces
from pokedreamer_jax import specs


def _traces(*episodes):
  """Of episodes that are lists of (map, y, x) or (map, y, x, "battle")."""
  traces = play_traces.blank(len(episodes), max(map(len, episodes)))
  for number, episode in enumerate(episodes):
    for t, row in enumerate(episode):
      traces.cell[number, t] = row[:3]
      traces.battle[number, t] = len(row) > 3
      traces.running[number, t] = row[0] > 0
  return traces, np.array([len(episode) for episode in episodes])


_HERE = (1, 2, 3)
# Cells that nobody stands on twice.
_ELSEWHERE = [(2, y, x) for y in range(10) for x in range(10)]


@pytest.mark.parametrize(
  ("episode", "stuck", "outside"),
  [
    ([_HERE] * 20, 0, 0),
    ([_HERE] * 25, 5, 5),  # from the 21st row on
    (_ELSEWHERE, 0, 0),
    # The 21st time within 100 rows, and a row later.
    ([_HERE] * 20 + _ELSEWHERE[:79] + [_HERE], 1, 1),
    ([_HERE] * 20 + _ELSEWHERE[:80] + [_HERE], 0, 0),
    # Two cells in turns are a loop as well: the 21st time of either.
    ([_HERE, (1, 2, 4)] * 22, 4, 4),
    # A battle is not the cell in which it is fought.
    ([_HERE] * 20 + [(*_HERE, "battle")] * 22, 2, 0),
    ([(*_HERE, "battle")] * 20 + [_HERE] * 23, 3, 3),
    ([(0, 0, 0)] * 21, 1, 1),  # the title screen
    # Axes are told apart.
    ([(1, 2, 3)] * 15 + [(1, 3, 2)] * 15 + [(2, 1, 3)] * 15, 0, 0),
  ],
)
def test_a_row_is_stuck_from_the_21st_time_in_100(episode, stuck, outside):
  # Beside a longer episode, whose rows it does not have.
  traces, steps = _traces(episode, [_HERE] * 150)
  every, walking = play_traces.stuck(traces, steps)
  assert every[0] == pytest.approx(stuck / len(episode))
  assert walking[0] == pytest.approx(outside / len(episode))
  assert every[1] == pytest.approx(130 / 150)


def test_cells_are_stood_on_outside_battles_and_until_the_end():
  traces, steps = _traces(
    [(0, 0, 0), _HERE, _HERE, (*_HERE, "battle"), (1, 2, 4)],
    [_HERE, (5, 0, 0)],
  )
  visits = play_traces.visits(traces, steps)
  assert visits.cell.tolist() == [[1, 2, 3], [1, 2, 4], [5, 0, 0]]
  assert visits.rows.tolist() == [3, 1, 1]
  assert play_traces.cells(traces, steps).tolist() == [2, 2]


def test_nobody_who_moved_has_no_cells():
  traces, steps = _traces([(0, 0, 0)] * 3)
  assert play_traces.visits(traces, steps).cell.shape == (0, 3)


def _played(*episodes):
  """Episodes of 9 rows: name -> {step: value}."""
  terms = np.zeros((len(episodes), 9, specs.NUM_REWARD_TERMS), np.float32)
  for number, episode in enumerate(episodes):
    for name, values in episode.items():
      for step, value in values.items():
        terms[number, step, specs.REWARD_TERMS.index(name)] = value
  count = len(episodes)
  return play_episodes.Played(terms, np.full(count, 9), np.zeros(count, bool))


@pytest.mark.parametrize(
  ("episodes", "best", "worst"),
  [
    # A badge is worth more than any return.
    ([{"species": {1: 9}}, {"badges": {8: 1}}, {}], 1, 2),
    # Of equal badges, the last of them earlier.
    (
      [{"badges": {1: 1, 7: 1}}, {"badges": {3: 1, 6: 1}, "hp_lost": {2: 9}}],
      1,
      0,
    ),
    # Then returns, and of equal ones the first is the best.
    ([{"hp_lost": {2: 9}}, {"species": {1: 1}}, {}], 1, 0),
    ([{}, {}, {}], 0, 2),
  ],
)
def test_badges_then_their_step_then_returns_rank(episodes, best, worst):
  weights = specs.REWARD_WEIGHTS["published"]
  played = _played(*episodes)
  assert play_episodes.best_and_worst(played, weights) == (best, worst)


def test_episodes_are_told_one_by_one():
  played = _played({"badges": {2: 1, 5: 1}}, {})
  traces, steps = _traces([_HERE] * 9, _ELSEWHERE[:9])
  played = play_episodes.Played(played.reward_terms, steps, played.beaten)
  traced = play_episodes.Played(
    played.reward_terms, steps, played.beaten, traces=traces
  )
  weights = specs.REWARD_WEIGHTS["published"]
  report = play_episodes.report({"a": played, "b": traced}, weights, 50)
  assert report["by_episode"]["a"] == {
    "badges": [2.0, 0.0],
    "last_badge": [5, None],
    "wild_wins": [0.0, 0.0],
  }
  assert report["by_episode"]["b"]["stuck"] == [0.0, 0.0]
  assert report["policies"]["b"]["cells"]["mean"] == 5.0  # 1 and 9
  assert report["policies"]["b"]["progress"]["cells"] == 10
  assert "stuck" not in report["policies"]["a"]
