"""Which step is due, by a clock that the test turns."""

import math

import pytest

from experiments.serving import buttons

_STEP = buttons.STEP_S


def _taken(held, times):
  """Actions of the steps that are due at these times."""
  return [getattr(held.take(t), "action", None) for t in times]


def test_a_press_is_a_step_at_once_and_once():
  held = buttons.Buttons()
  held.tell(1, 3, 10.0)
  assert held.pressed and held.wait_s(10.0) == 0.0
  press = held.take(10.0)
  assert (press.action, press.number, press.told_s) == (3, 1, 10.0)
  held.tell(2, None, 10.05)
  assert _taken(held, [10.1, 11.0, 20.0]) == [None, None, None]
  assert held.wait_s(20.0) == math.inf


def test_a_held_button_is_a_step_each_time_the_game_makes_one():
  held = buttons.Buttons()
  held.tell(1, 2, 0.0)
  times = [i * 0.01 for i in range(300)]
  steps = [t for t in times if held.take(t)]
  assert len(steps) == 1 + math.floor(2.99 / _STEP)
  for i, t in enumerate(steps):
    assert abs(t - i * _STEP) <= 0.011
  # They answer no press: nobody's finger moved.
  assert held.take(100.0).number == 0


def test_quick_presses_are_steps_each_and_not_too_many_wait():
  held = buttons.Buttons()
  for number in range(1, 21):
    held.tell(number, 1 if number % 2 else None, 0.0)
  assert _taken(held, [0.0] * 5) == [1, 1, 1, None, None]


def test_what_comes_late_or_twice_counts_for_nothing():
  held = buttons.Buttons()
  assert held.tell(5, 0, 0.0)
  assert not held.tell(5, 1, 0.0) and not held.tell(4, None, 0.0)
  assert held.held == 0
  held.tell(6, 0, 0.0)  # the same is still held: no second press
  assert _taken(held, [0.0, 0.0]) == [0, None]
  held.release()
  assert held.held is None and held.tell(1, 2, 0.0)


def test_a_step_that_came_late_is_not_made_up_for():
  held = buttons.Buttons()
  held.tell(1, 0, 0.0)
  assert _taken(held, [0.0, 5.0, 5.0, 5.3]) == [0, 0, None, None]
  assert held.wait_s(5.0) == pytest.approx(_STEP)


def test_others_play_at_a_speed():
  pace = buttons.Pace()
  times = [i * 0.01 for i in range(201)]
  assert abs(sum(map(pace.take, times)) - 2.0 / _STEP) <= 1.5
  pace.set_speed(4.0)
  assert abs(sum(pace.take(2 + t) for t in times) - 8.0 / _STEP) <= 2.5
  with pytest.raises(ValueError, match="speed"):
    pace.set_speed(3.0)
