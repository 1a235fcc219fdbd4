"""Starts before events: which rows they are, and how far they move away."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import event_starts
from pokedreamer_jax.behaviour import latents
from tests.pokedreamer_jax import fakes

_BADGES = specs.REWARD_TERMS.index("badges")
_MAPS = specs.REWARD_TERMS.index("new_maps")


def _config(**fields):
  config = fakes.config("policy.horizon=4", "policy.reward=progress")
  return dataclasses.replace(
    config, policy=dataclasses.replace(config.policy, **fields)
  )


def _rows():
  """Two episodes of 8 and 6 rows.

  A badge on row 6 of the first, a map on row 1 of the second, which ends the
  game on its last; levels 5, then 6 from row 3 of the first.
  """
  blank = latents.empty(fakes.config().world_model)
  rows = jax.tree.map(
    lambda leaf: np.zeros((14, *leaf.shape[1:]), leaf.dtype), blank
  )
  rows.is_first[[0, 8]] = True
  rows.is_last[[7, 13]] = True
  rows.is_terminal[13] = True
  rows.reward_terms[6, _BADGES] = 1.0
  rows.reward_terms[9, _MAPS] = 1.0
  rows.level[1:3] = 5  # no creature on the title screen
  rows.level[3:8] = 6
  rows.level[8:] = 9  # begun with
  return latents.with_earned(rows)


def _by_kind(starts):
  bounds = [*np.asarray(starts.first).tolist(), len(starts.row)]
  return {
    kind: np.asarray(starts.row)[bounds[i] : bounds[i + 1]].tolist()
    for i, kind in enumerate(starts.kinds)
  }


def _at(starts, reach):
  steps = jnp.asarray(reach)
  return event_starts.at_reach(
    starts, dict(zip(starts.kinds, steps, strict=True))
  )


def test_rows_of_the_same_episode_the_nearest_first():
  starts = event_starts.prepare(_config(), _rows())
  # No map, level or badge of the other episode; at most 4 steps ahead.
  assert _by_kind(starts) == {
    "badges": [5, 4, 3, 2],
    "new_maps": [8],
    "level": [2, 1, 0],
  }
  counts = dict(zip(starts.kinds, np.asarray(starts.count), strict=True))
  assert counts["badges"].tolist() == [0, 1, 2, 3, 4]
  assert counts["new_maps"].tolist() == [0, 1, 1, 1, 1]
  assert counts["level"].tolist() == [0, 1, 2, 3, 3]
  only = event_starts.prepare(_config(only_term="level"), _rows())
  assert only.kinds == ("level",)


def test_nothing_to_start_before():
  rows = _rows()
  nothing = rows.replace(
    reward_terms=np.zeros_like(rows.reward_terms),
    level=np.zeros_like(rows.level),
  )
  assert event_starts.prepare(_config(), nothing) is None


def test_kinds_are_drawn_alike_and_no_farther_than_the_reach():
  starts = event_starts.prepare(_config(), _rows())
  starts = _at(starts, [2.9, 4.0, 1.0])
  row, kind = event_starts.draw(starts, jax.random.key(0), 6000)
  assert np.abs(np.bincount(kind) / 6000 - 1 / 3).max() < 0.03
  for number, wanted in enumerate(([4, 5], [8], [2])):
    mine = np.asarray(row)[np.asarray(kind) == number]
    assert sorted(set(mine.tolist())) == wanted
  badge = np.asarray(row)[np.asarray(kind) == 0]
  assert abs((badge == 5).mean() - 0.5) < 0.05


@pytest.mark.parametrize(
  ("shares", "reach"),
  [
    ((1.0, 0.5, 0.0), [3.0, 2.0, 1.0]),
    # No farther than a dream is long, no nearer than one step.
    ((0.0, 1.0, 1.0), [1.0, 3.0, 3.0]),
  ],
)
def test_reach_follows_what_dreams_bring_about(shares, reach):
  starts = event_starts.prepare(_config(), _rows())
  starts = _at(starts, [2.0] * 3)
  dreams, length = 30, 4
  event = np.arange(dreams) % 4 - 1  # -1 starts anywhere, and counts for nobody
  terms = np.zeros((length, dreams, specs.NUM_REWARD_TERMS), np.float32)
  level = np.full((length + 1, dreams), 5)
  for number, (share, term) in enumerate(
    zip(shares, (_BADGES, _MAPS, None), strict=True)
  ):
    mine = np.flatnonzero(event == number)
    lucky = mine[: round(share * len(mine))]
    if term is None:
      level[2:, lucky] = 6
    else:
      terms[1, lucky, term] = 1.0
  terms[1, event == -1, _BADGES] = 1.0
  rollout = types.SimpleNamespace(
    reward_terms=jnp.asarray(terms), level=jnp.asarray(level)
  )
  found, metrics = event_starts.moved(
    starts, rollout, jnp.asarray(event), jnp.ones((length, dreams))
  )
  assert [float(found[kind]) for kind in starts.kinds] == reach
  assert metrics["events/badges"] == shares[0]
  # Behind the end of a dream nothing counts.
  over = jnp.zeros((length, dreams))
  none, _ = event_starts.moved(starts, rollout, jnp.asarray(event), over)
  assert [float(steps) for steps in none.values()] == [1.0] * 3
