"""Battle fields against what a played screen says in words, digits and bars."""

import numpy as np
import pytest

from data_tools.game import emulator
from data_tools.game import game_state
from data_tools.game import ram_addresses as ram
from data_tools.players import policies
from data_tools.players import screen_text
from data_tools.records import episodes
from tests.data_tools.players import vale_game

_STEPS = 500  # of each of two episodes
_BAR_PIXELS = 48


@pytest.fixture(scope="module")
def played():
  """Decoded steps, and what stood on the screen: lines and tile ids."""
  game = vale_game.fresh_game()
  rom = game.rom
  policy = policies.make_policy("demonstrator:eps=0.4", rom)
  lines, rows, frames, tiles = [], [], [], []
  with game:
    for seed, name in enumerate(("second_badge", "first_badge")):
      game.reset(seed, emulator.read_save_state(f"great_vale/{name}", rom))
      policy.reset(np.random.default_rng(seed))
      for t in range(_STEPS):
        action = policy.act(game.memory)
        switch = _switching(screen_text.read(game.memory))
        game.step(action if switch is None or t % 60 < 30 else switch)
        rows.append(game.ram().copy())
        frames.append(game.frame())
        lines.append(screen_text.read(game.memory))
        tiles.append(_tiles(game.memory))
  steps = episodes.RowReader(rom).read(np.stack(frames), np.stack(rows))
  return (
    steps,
    lines,
    np.frombuffer(b"".join(tiles), np.uint8).reshape(
      -1, ram.SCREEN_ROWS, ram.SCREEN_COLUMNS
    ),
  )


def _switching(lines):
  """The next press that brings the third of the party in, None elsewhere."""
  at = screen_text.cursor(lines)
  if _settled(lines) and at and at[1] == 10:
    return screen_text.steer(lines, "SWITCH")
  if at and at[1] == 1 and at[0] < 12 and "NOW?" in lines[14]:
    return screen_text.go_to(lines, (4, 1))
  return None


def _tiles(memory):
  size = ram.SCREEN_ROWS * ram.SCREEN_COLUMNS
  return bytes(memory[ram.SCREEN_TILES : ram.SCREEN_TILES + size])


def _settled(lines):
  """Whether it is one's turn: nothing moves, and all numbers are drawn."""
  return lines[13][11:17] == "ATTACK" and lines[16][11:14] == "RUN"


def test_the_numbers_drawn_are_those_of_who_fights(played):
  steps, lines, tiles = played
  species = vale_game.read_facts()["species"]
  slots, shares = set(), set()
  for t, screen in enumerate(lines):
    if not _settled(screen):
      continue
    slot = steps["active_slot"][t]
    slots.add(int(slot))
    name = species[steps["party_species"][t][slot] - 1]
    assert screen[7][10:].strip() == name
    assert int(screen[10][10:13]) == steps["party_hp"][t][slot]
    assert int(screen[10][15:18]) == steps["party_max_hp"][t][slot]
    foe = species[steps["enemy_species"][t] - 1]
    assert screen[1][1:11].strip() == foe
    # The bar: six tiles of 0 to 8 pixels.
    drawn = int((tiles[t, 3, 2:8].astype(int) - 0x63).sum())
    hp, most = int(steps["enemy_hp"][t]), int(steps["enemy_max_hp"][t])
    assert drawn == max(hp * _BAR_PIXELS // most, 1)
    shares.add((hp, most))
  assert len(slots) > 1, "nobody was switched in"
  assert len({most for _, most in shares}) > 4
  assert sum(hp < most for hp, most in shares) > 5


def test_outside_battle_they_are_zero(played):
  steps, _, _ = played
  fights = np.isin(steps["in_battle"], (game_state.WILD, game_state.TRAINER))
  assert 0 < fights.sum() < len(fights)
  for name in ("enemy_max_hp", "active_slot", "move_item"):
    assert steps[name][fights].any() and not steps[name][~fights].any()


def test_the_move_at_the_cursor_is_known_and_the_bag_is_none(played):
  steps, lines, _ = played
  facts = vale_game.read_facts()
  moves = {move["name"] for move in facts["moves"]}
  items = {item["name"] for item in facts["items"]}
  seen = {"moves": set(), "bags": 0}
  for t, screen in enumerate(lines):
    at = screen_text.cursor(screen)
    word = screen_text.marked(screen).split("\u00d7")[0].strip()
    if steps["in_battle"][t] and word in moves:
      assert steps["move_item"][t] == at[0] - 12 == steps["menu_item"][t] + 1
      seen["moves"].add(int(steps["move_item"][t]))
    else:
      assert steps["move_item"][t] == 0, screen
      seen["bags"] += bool(steps["in_battle"][t]) and word in items
  assert {1, 2, 3} <= seen["moves"] and seen["bags"] > 2, seen


def test_texts_are_told_apart_by_their_wording(played):
  steps, lines, tiles = played
  numbers, wordings, plain = {}, {}, 0
  for t, screen in enumerate(lines):
    corners = tiles[t, [12, 12, 17, 17], [0, 19, 0, 19]].tolist()
    words = "".join(line[1:19] for line in screen[13:17])
    for sign in " 0123456789\u25b6\u25bc":
      words = words.replace(sign, "")
    if corners != [0x79, 0x7B, 0x7D, 0x7E]:
      words = ""
    number = int(steps["text"][t])
    assert (number == 0) == (not words), screen
    if words:
      assert numbers.setdefault(words, number) == number
      assert wordings.setdefault(number, words) == words
    plain += bool(words)
  assert len(numbers) > 40 and plain > 200


def _battle_screen(cursor=None, count_at=None, **values):
  """A fight with the message box; cursor and a sign of number by place."""
  memory = np.zeros(1 << 16, np.uint8)
  memory[ram.STATUS_FLAGS_6], memory[ram.IN_BATTLE] = 1, 1
  for address, tile in ram.MESSAGE_BOX:
    memory[address] = tile
  for place, tile in ((cursor, ram.CURSOR_TILE), (count_at, ram.TIMES_TILE)):
    if place is not None:
      row, column = place
      memory[ram.SCREEN_TILES + row * ram.SCREEN_COLUMNS + column] = tile
  for name, value in values.items():
    memory[getattr(ram, name)] = value
  return memory


@pytest.mark.parametrize(
  ("memory", "expected"),
  [
    (_battle_screen((13, 1)), 1),
    (_battle_screen((16, 1)), 4),
    (_battle_screen((15, 5)), 3),  # where Pokemon Red has it
    (_battle_screen((13, 10)), 0),  # what to do
    (_battle_screen((12, 1)), 0),
    (_battle_screen((4, 1)), 0),  # the party
    (_battle_screen((14, 1), count_at=(14, 14)), 0),  # the bag
    (_battle_screen((14, 1), count_at=(13, 14)), 2),
    (_battle_screen((14, 1), BATTLE_TYPE=2), 0),  # the safari's own menu
    (_battle_screen((14, 1), IN_BATTLE=0), 0),
    (_battle_screen(), 0),
  ],
)
def test_where_the_move_menu_has_its_cursor(memory, expected):
  assert game_state.from_memory(memory).move_item == expected


def test_enemy_max_hp_and_active_slot_by_hand():
  memory = _battle_screen(ACTIVE_SLOT=4)
  memory[ram.ENEMY_MAX_HP : ram.ENEMY_MAX_HP + 2] = 1, 44
  state = game_state.from_memory(memory)
  assert (state.enemy_max_hp, state.active_slot) == (300, 4)
  memory[ram.ACTIVE_SLOT] = 200  # before anybody was sent
  assert game_state.from_memory(memory).active_slot == 5
  memory[ram.IN_BATTLE] = 0
  state = game_state.from_memory(memory)
  assert (state.enemy_max_hp, state.active_slot) == (0, 0)


def _said(*lines):
  memory = _battle_screen()
  for row, letters in zip((13, 14, 15, 16), lines, strict=False):
    start = ram.SCREEN_TILES + row * ram.SCREEN_COLUMNS + 1
    memory[start : start + len(letters)] = list(letters)
  return game_state.from_memory(memory).text


def test_cursor_arrow_blanks_and_digits_are_no_part_of_a_text():
  blank = [0x7F] * 18
  assert _said(blank, blank, blank, blank) == 0
  text = _said(blank, [0x80, 0x81, *blank[2:]], blank, blank)
  assert text > 0
  for same in (
    _said(blank, [0xED, 0x80, 0x81, *blank[3:]], blank, blank),
    _said(blank, blank, [0x80, *blank[1:]], [0x81, *blank[2:], 0xEE]),
    _said(blank, [0x80, 0xF6, 0xFF, 0x81, *blank[4:]], blank, blank),
  ):
    assert same == text
  assert _said(blank, [0x81, 0x80, *blank[2:]], blank, blank) != text
  assert _said(blank, [0x80, *blank[1:]], blank, blank) not in (0, text)
