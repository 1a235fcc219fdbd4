"""Games that part from a real one: in which rows, and under which buttons."""

import numpy as np

from experiments.playing import clip_episodes


class _Machine:
  """Its screen is a sum of buttons and of frames waited."""

  def __init__(self):
    self.total, self.asked = 0, []

  def save_state(self):
    return str(self.total).encode()

  def resume(self, state, wait_frames=0):
    self.total = int(state) + 100 * wait_frames

  def step(self, action):
    self.total += action
    self.asked.append(action)

  def frame(self):
    return np.full((144, 40), self.total, np.int64)


class _Buttons:
  chosen_by = 2

  def reset(self, rng):
    self._next = 0

  def act(self, memory, row=None):
    self._next += 1
    return self._next


def test_a_game_goes_on_with_other_luck_up_to_the_next_one():
  machine, actions = _Machine(), [1, 2, 3, 4, 5, 6, 0]
  kept = clip_episodes._Keeper(_Buttons(), machine, [2, 4, 40])
  kept.reset(np.random.default_rng(0))
  frames = [machine.frame()]
  for _ in actions[:-1]:
    machine.step(kept.act(None))
    frames.append(machine.frame())
  assert kept.chosen_by == 2 and sorted(kept.states) == [2, 4]
  rows = {"frame": np.stack(frames), "action": np.array(actions)}
  luck = clip_episodes.other_luck(machine, kept.states, rows)
  real = [0, 1, 3, 6, 10, 15, 21]
  assert rows["frame"][:, 0, 0].tolist() == real
  # From row 2 a frame later; in row 4 it parts from the real one again.
  late = [0, 0, 0, 100, 100, 100, 100]
  assert luck[:, 0, 0].tolist() == [
    r + w for r, w in zip(real, late, strict=True)
  ]
  assert machine.asked[-4:] == [3, 4, 5, 6]
