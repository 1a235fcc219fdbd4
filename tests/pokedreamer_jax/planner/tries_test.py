"""How often a milestone was tried: by failures and by time."""

from pokedreamer_jax.planner import offline_config
from pokedreamer_jax.planner import tries
from tests.pokedreamer_jax.planner import games

_FIRST, _SECOND = games.small_world().milestones[:2]


def _tries(**config):
  return tries.Tries(offline_config.OfflineConfig(try_env_steps=10, **config))


def test_time_counts_for_what_is_pursued_alone():
  made = _tries(most_tries=2)
  made.at(100)  # nothing is pursued yet
  made.pursue(_FIRST)
  made.at(109)
  assert made.of(_FIRST) == 0
  made.pursue(None)
  made.at(150)
  made.pursue(_FIRST)
  made.at(151)
  assert (made.of(_FIRST), made.of(_SECOND)) == (1, 0)
  assert not made.is_given_up(_FIRST)
  made.at(161)
  assert made.is_given_up(_FIRST) and not made.is_given_up(_SECOND)


def test_what_led_nowhere_is_one_try_however_long_it_took():
  made = _tries()
  made.pursue(_FIRST)
  made.failed(25)
  assert made.of(_FIRST) == 1
  made.at(34)
  assert made.of(_FIRST) == 1
  made.at(35)
  assert made.of(_FIRST) == 2
  made.at(44)
  made.failed(45)
  made.at(54)
  assert made.of(_FIRST) == 3
  twice = _tries(tries=2)
  twice.pursue(_FIRST)
  for step, count in enumerate((0, 1, 1, 2)):
    twice.failed(step)
    assert twice.of(_FIRST) == count


def test_the_whole_time_is_there_again_when_the_game_went_on():
  made = _tries()
  made.pursue(_FIRST)
  for step in (9, 18, 40):
    made.went_on(step)
    made.at(step + 5)
  assert made.of(_FIRST) == 0
