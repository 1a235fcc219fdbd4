"""Texts that go on by themselves, who blinks and bars that move: what memory
says of them, against the program's registers and the pictures."""

import numpy as np
import pytest

from data_tools.game import clocks
from data_tools.game import emulator
from data_tools.game import frame_codec
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.players import policies
from data_tools.records import episodes
from pokedreamer_jax import specs

_STEPS = 500


def _word(memory, address):
  return memory[address] | memory[address + 1] << 8


@pytest.fixture(scope="module")
def played():
  """Steps of some battles and talk, and of each the top of the stack."""
  rom = roms.resolve("great_vale")
  policy = policies.make_policy("demonstrator:eps=0.2", rom)
  policy.reset(episodes.policy_rng(11))
  with emulator.Emulator(rom) as game:
    game.reset(11, emulator.read_save_state("great_vale/leaf_hall", rom), 100)
    frames, rows, stacks = [], [], []
    for _ in range(_STEPS):
      frames.append(game.frame())
      rows.append(game.ram().copy())
      top = game._pyboy.register_file.SP
      stacks.append([_word(game.memory, top + at) for at in (0, 2, 6)])
      game.step(policy.act(game.memory))
  steps = episodes.RowReader(rom).read(np.stack(frames), np.stack(rows))
  steps["picture"] = np.stack([frame_codec.unpack(one) for one in frames])
  return steps, np.array(stacks)


def test_a_text_says_when_it_goes_on_by_itself(played):
  steps, stacks = played
  (found,) = clocks.KNOWN.values()
  returns, number, waited_for = stacks.T
  waits = (returns == found.text_return) & (waited_for != found.menu_return)
  assert waits.sum() > 50
  wrong = steps["text_wait"] != np.where(waits, number, 0)
  assert wrong.sum() <= 1  # the program may be at something else
  shown = steps["dialog_open"] | (steps["in_battle"] > 0)
  assert shown[steps["text_wait"] > 0].all()


def test_a_text_that_nobody_reads_goes_on_in_the_end():
  rom = roms.resolve("great_vale")
  policy = policies.make_policy("demonstrator", rom)
  policy.reset(episodes.policy_rng(11))
  reader = episodes.RowReader(rom)
  with emulator.Emulator(rom) as game:
    game.reset(11, emulator.read_save_state("great_vale/leaf_hall", rom), 100)
    look = lambda: reader.read(game.frame()[None], game.ram()[None].copy())
    for _ in range(_STEPS):
      if (now := look())["text_wait"][0] > 200:
        break
      game.step(policy.act(game.memory))
    waits, texts = [int(now["text_wait"][0])], [int(now["text"][0])]
    for _ in range(20):
      game.step(specs.PASS)  # nobody presses a button
      now = look()
      waits.append(int(now["text_wait"][0]))
      texts.append(int(now["text"][0]))
      if texts[-1] != texts[0]:
        break
  assert len(waits) > 8
  assert set(-np.diff(waits[:-1])) == {specs.STEP_FRAMES}
  assert waits[-2] <= specs.STEP_FRAMES


def test_what_is_struck_blinks(played):
  steps, _ = played
  left = steps["blink_wait"].astype(int)
  assert (left > 0).sum() > 10 and left.max() <= 30
  hidden = np.flatnonzero((left > 0) & ((left - 1) // 5 % 2 == 1))
  assert len(hidden) > 3
  for t in hidden:  # four by four tiles, of the foe or the own one
    foe = steps["picture"][t, 8:40, 112:144]
    own = steps["picture"][t, 56:88, 16:48]
    assert not foe.any() or not own.any()


@pytest.mark.parametrize(
  ("name", "row", "column"), [("own_bar", 9, 11), ("enemy_bar", 3, 2)]
)
def test_bars_are_as_long_as_they_are_drawn(played, name, row, column):
  steps, _ = played
  bar = steps[name].astype(int)
  assert not bar[steps["in_battle"] == 0].any()
  line = steps["picture"][:, 8 * row + 3, 8 * column : 8 * column + 48]
  seen = (line == line[:, :1]).sum(axis=1)
  # A picture is one frame behind; an empty bar is of one colour as well.
  some = bar > 1
  behind = seen[some] - (bar[some] - 1)
  assert some.sum() > 100
  assert np.mean(behind == 0) > 0.85
  assert np.isin(behind, [0, 1, 2]).mean() > 0.97


def test_bars_that_are_not_there_and_waits_too_long_are_nothing():
  (sha1,) = clocks.KNOWN
  (found,) = clocks.KNOWN.values()
  rows = np.zeros((4, ram.RAM_BYTES), np.uint8)
  rows[:3, ram.column(ram.IN_BATTLE)] = 1
  rows[:3, ram.column(ram.STATUS_FLAGS_6)] = 1  # else no game runs
  first = ram.column(found.own_bar)
  rows[0, first : first + 6] = 0x63  # empty
  rows[1, first : first + 6] = [*[0x6B] * 5, 0x6C]  # no bar's tile
  rows[2:, first : first + 6] = [0x6B, 0x6B, 0x66, 0x63, 0x63, 0x63]
  at = ram.column(ram.STACK) + 20
  for row, frames in ((0, 288), (1, 289), (3, 288)):
    words = (found.frame_call, found.text_return, frames)
    rows[row, at : at + 6] = np.array(words, "<u2").view(np.uint8)
  read = clocks.decode(rows, sha1, np.zeros(4, bool))
  assert read["own_bar"].tolist() == [1, 0, 20, 0]
  assert read["text_wait"].tolist() == [288, 0, 0, 0]
  for name in ("own_bar", "enemy_bar", "blink_wait"):
    assert read[name].dtype == np.uint8
  assert read["text_wait"].dtype == np.uint16
