import os
import signal
import threading
import time

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.envs import vector
from data_tools.game import emulator as emulator_lib
from data_tools.game import goals
from data_tools.game import roms
from data_tools.records import episodes
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs

_N, _LENGTH = 3, 40


@pytest.fixture(scope="module")
def rom():
  return roms.resolve(cartridge.CHAPTER_ONE)


@pytest.fixture(scope="module")
def emulators(rom):
  with vector.VectorEmulator(
    rom, _N, num_workers=2, episode_length=_LENGTH, jitter_frames=30
  ) as emulators:
    yield emulators


class _Tape:
  """Plays a list of actions."""

  chosen_by = 0

  def __init__(self, actions):
    self._actions = iter(actions)

  def reset(self, rng):
    pass

  def act(self, memory, row=None):
    return next(self._actions)


def test_each_environment_plays_as_if_it_were_alone(rom, emulators):
  actions = np.random.default_rng(0).integers(0, 8, (_LENGTH, _N))
  seeds = [4, 5, 6]
  rows = [emulators.reset(seeds)]
  rows += [emulators.step(actions[t]) for t in range(_LENGTH - 1)]
  together = {k: np.stack([row[k] for row in rows]) for k in rows[0]}
  with emulator_lib.Emulator(rom) as game:
    for i, seed in enumerate(seeds):
      game.reset(seed, jitter_frames=30)
      (alone,) = episodes.play(game, _Tape(actions[:, i]), seed, _LENGTH)
      for name in specs.STEP_FIELD_NAMES:
        if name not in ("action", "behaviour"):
          np.testing.assert_array_equal(
            together[name][:, i], alone[name], err_msg=name
          )


def test_rows_keep_the_contract_and_are_copies(emulators):
  first = emulators.reset([0, 0, 1])
  assert specs.check_steps(first) == _N
  before = first["frame"].copy()
  for _ in range(20):
    emulators.step([0, 1, 2])
  np.testing.assert_array_equal(first["frame"], before)
  np.testing.assert_array_equal(first["frame"][0], first["frame"][1])


def test_an_ended_environment_stays_until_the_reset(emulators):
  emulators.reset([0, 1, 2])
  begin = [specs.ACTIONS.index(name) for name in ("start", "a")]
  for t in range(1, _LENGTH):
    row = emulators.step([begin[t % 2]] * _N)
    assert (row["is_last"] == (t == _LENGTH - 1)).all()
    assert not row["is_first"].any()
  assert row["reward_terms"].any(axis=1).all()  # stuck, at least
  for _ in range(3):
    after = emulators.step([0, 1, 2])
    assert after["is_last"].all()
    assert not after["reward_terms"].any()
    np.testing.assert_array_equal(after["frame"], row["frame"])
  assert emulators.reset([0, 1, 2])["is_first"].all()


def test_those_that_stand_still_show_their_row_and_earn_nothing(emulators):
  emulators.reset([0, 1, 2])
  for _ in range(5):
    before = emulators.step([6, 4, 7])
  assert before["reward_terms"][0].any()  # stuck, at least
  after = emulators.reset([None, 8, None])
  assert after["is_first"].tolist() == [False, True, False]
  assert after.keys() == before.keys()
  for name, array in before.items():
    still = after[name][[0, 2]]
    assert still.dtype == array.dtype
    expected = array[[0, 2]] * (name != "reward_terms")
    np.testing.assert_array_equal(still, expected, err_msg=name)


def test_games_that_are_gone_back_to_go_on_as_they_would_have(rom, emulators):
  rng = np.random.default_rng(1)
  actions = rng.integers(0, 8, (60, _N))
  with vector.VectorEmulator(rom, _N, 2, 200, 30) as playing:
    playing.reset([4, 5, 6])
    kept = {}
    rows = []
    for t in range(60):
      for number, at in enumerate((7, 19, 30)):  # each at its own time
        if t == at:
          (kept[number],) = playing.keep([number])
      rows.append(playing.step(actions[t]))
  for order in ([0, 1, 2], [2, 1, 0]):
    # Elsewhere, twice, in other places: nothing of the games before is left.
    emulators.reset([7, 8, 9])
    emulators.step([3] * _N)
    emulators.go_back([kept[number] for number in order])
    stood = emulators.reset([None] * _N)
    for place, number in enumerate(order):
      last = rows[(7, 19, 30)[number] - 1]
      for name in set(specs.STEP_FIELD_NAMES) - {"reward_terms"}:
        np.testing.assert_array_equal(
          stood[name][place], last[name][number], err_msg=name
        )
    for t in range(30):
      starts = [(number, (7, 19, 30)[number]) for number in order]
      row = emulators.step([actions[start + t, n] for n, start in starts])
      for place, (number, start) in enumerate(starts):
        for name in specs.STEP_FIELD_NAMES:
          np.testing.assert_array_equal(
            row[name][place], rows[start + t][name][number], err_msg=name
          )
  with vector.VectorEmulator(rom, 1) as fresh:  # that never reset
    with pytest.raises(ValueError, match="a game that goes on"):
      fresh.keep([0])
    fresh.go_back([kept[1]])
    assert not fresh.reset([None])["is_first"].any()
    row = fresh.step(actions[19, 1:2])
    for name in specs.STEP_FIELD_NAMES:
      np.testing.assert_array_equal(
        row[name][0], rows[19][name][1], err_msg=name
      )
    with pytest.raises(ValueError, match="2 kept games for 1 environments"):
      fresh.go_back([kept[0]] * 2)


def test_goals_are_judged_row_by_row_as_in_the_record(emulators):
  words = ("reach map 1", "reach tile 1 2 3", "explore new map")
  wanted = [goal_specs.parse(text) for text in words]
  arrays, judge = goal_specs.stack(wanted), goals.Judge(_N)
  rows = [emulators.reset([4, 5, 6])]
  found = [judge.update(rows[0], arrays)]
  begin = [specs.ACTIONS.index(name) for name in ("start", "a", "down", "up")]
  for t in range(_LENGTH + 5):  # and stays at its last row
    rows.append(emulators.step([begin[t % 4]] * _N))
    found.append(judge.update(rows[-1], arrays))
  together = {k: np.stack([row[k] for row in rows]) for k in goals.FIELDS}
  for i, goal in enumerate(wanted):
    alone = goals.reached({k: v[:, i] for k, v in together.items()}, goal)
    np.testing.assert_array_equal(np.stack(found)[:, i], alone)
    assert not alone[_LENGTH:].any()
  assert np.stack(found)[:, 0].any()


def test_bad_calls_are_refused_and_the_processes_go_on(rom, emulators):
  with pytest.raises(ValueError, match="2 seeds for 3"):
    emulators.reset([0, 1])
  emulators.reset([0, 1, 2])
  for actions in (
    [0, 1],
    [0, 1, 8],
    [[0, 1, 2]],
    [2.9, 1.0, 0.0],
    [True, False, True],
  ):
    with pytest.raises(ValueError, match=r"numbers in 0\.\.7"):
      emulators.step(actions)
  with pytest.raises(ValueError, match="does not fit"):
    emulators.reset([0, 1, 2], b"no state")
  assert emulators.reset([0, 1, 2])["is_first"].all()
  with pytest.raises(ValueError, match="2 start states for 3"):
    emulators.reset([0, 1, 2], [None, None])
  with pytest.raises(ValueError, match="num_envs 0"):
    vector.VectorEmulator(rom, 0)


def test_a_process_that_dies_is_an_error_not_a_hang(rom):
  with vector.VectorEmulator(rom, 1) as emulators:
    with pytest.raises(ValueError, match="step: environment 0 was never reset"):
      emulators.step([0])
    emulators._processes[0].kill()
    with pytest.raises(RuntimeError, match="died with exit code -9"):
      emulators.reset([0])


def _large_states(rom, count):
  """Distinct states of one moment; they differ where no state is read."""
  with emulator_lib.Emulator(rom) as game:
    game.reset(0)
    state = game.save_state()
  return [state + bytes([i]) for i in range(count)]


def test_a_process_that_hangs_before_large_states_is_an_error_in_time(
  rom, monkeypatch
):
  monkeypatch.setattr(vector, "HANG_S", 5.0)
  states = _large_states(rom, 4)
  with vector.VectorEmulator(rom, 4) as emulators:
    (process,) = emulators._processes
    assert emulators.reset([0] * 4, states)["is_first"].all()
    # So that a call that blocks fails here instead of for ever.
    rescue = threading.Timer(20, process.kill)
    rescue.start()
    try:
      os.kill(process.pid, signal.SIGSTOP)
      start_s = time.monotonic()
      with pytest.raises(vector.Died, match="silent for 5 s and was ended"):
        emulators.reset([0] * 4, states)
    finally:
      rescue.cancel()
      rescue.join()
    assert 5 <= time.monotonic() - start_s < 10
    assert not process.is_alive()
    with pytest.raises(vector.Died, match="died with exit code -9"):
      emulators.reset([0] * 4, states)


def test_an_interrupted_call_is_closed_though_its_states_are_not_taken(
  rom, monkeypatch
):
  def interrupt(i, deadline_s):
    time.sleep(1)  # what fits in the socket is in it
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    with vector.VectorEmulator(rom, 4) as emulators:
      (process,) = emulators._processes
      emulators.reset([0] * 4)
      rescue = threading.Timer(20, process.kill)
      rescue.start()
      os.kill(process.pid, signal.SIGSTOP)
      monkeypatch.setattr(emulators, "_answer", interrupt)
      start_s = time.monotonic()
      emulators.reset([0] * 4, _large_states(rom, 4))
  rescue.cancel()
  assert time.monotonic() - start_s < 10
  assert emulators._processes == []


def test_a_process_gets_its_own_start_states_each_once(rom, monkeypatch):
  sent = []
  states = _large_states(rom, 3)
  with vector.VectorEmulator(rom, 4, 2) as emulators:
    for connection in [p.connection for p in emulators._processes]:
      write = connection._send
      monkeypatch.setattr(
        connection,
        "_send",
        lambda data, write=write: sent.append(len(data)) or write(data),
      )
    one, other, third = states
    again = bytes(bytearray(one))  # equal, another object
    rows = emulators.reset([0] * 4, (one, again, other, third))
    assert rows["is_first"].all()
    large = [length / len(one) for length in sent if length > 1000]
    np.testing.assert_allclose(sorted(large), [1, 2], rtol=0.01)
    sent.clear()
    emulators.step([0] * 4, [None] * 4, states[0])
    assert max(sent) < 200
