"""The real game beside a dream: the practice cartridge in its own process."""

import numpy as np
import pytest

from data_tools.game import start_states
from experiments.dreaming import game as game_lib
from pokedreamer_jax import specs
from tests.experiments.dreaming import made


@pytest.fixture(scope="module")
def game():
  game = game_lib.Game(made.rom())
  yield game
  game.close()


def _equal(one, other):
  assert set(one) == set(specs.STEP_FIELD_NAMES)
  for name in one:
    np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_a_moment_is_entered_again_from_any_other(game):
  start = game_lib.Start(seed=3, jitter_frames=60)
  first = game.begin(start, None)
  assert first["is_first"] and not first["game_running"]
  rng = np.random.default_rng(0)
  actions = bytes([6, 4, 4, *rng.integers(0, 6, 70).tolist()])
  rows = [first, *(game.step(action) for action in actions)]
  assert rows[-1]["game_running"]
  for steps in (0, 5, 33, 64, len(actions), 32):
    _equal(game.enter(actions[:steps]), rows[steps])
  # From there on it is as it was, rewards too.
  _equal(game.step(actions[32]), rows[33])
  other = bytes([*actions[:40], 7, 7, 7])
  entered = game.enter(other)
  game.begin(start, None)
  for action in other:
    straight = game.step(action)
  _equal(entered, straight)


def test_the_demonstrator_plays_on_from_anywhere(game):
  assert game_lib.demonstrates(made.rom())
  game.begin(game_lib.Start(), None)
  actions = []
  for _ in range(12):
    actions.append(game.choose(1))
    row = game.step(actions[-1])
  assert row["game_running"] and set(actions) > {specs.ACTIONS.index("start")}


def test_a_state_that_does_not_fit_is_told_and_the_game_lives(game):
  with pytest.raises(ValueError, match="does not fit"):
    game.begin(game_lib.Start("other"), b"nothing")
  assert not game.lost
  assert not game.begin(game_lib.Start(), None)["game_running"]


def test_a_process_that_is_gone_is_told():
  game = game_lib.Game(made.rom())
  assert start_states.names(made.rom().sha1) is not None
  game._child.kill()
  game._child.join()
  assert game.lost
  with pytest.raises(game_lib.Gone, match="ended"):
    game.step(0)
  game.close()
