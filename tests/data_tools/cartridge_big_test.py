"""The great vale: its build, its screen memory, and every feature in play."""

import collections
import hashlib
import json

import numpy as np
import pytest

from data_tools import cartridge
from data_tools import demonstrator
from data_tools import emulator
from data_tools import ram_addresses as ram
from data_tools import roms
from data_tools import screen_text
from data_tools.cartridge import build
from data_tools.cartridge import generator
from data_tools.cartridge import rom_banks
from data_tools.cartridge import tables as source
from pokedreamer_jax import specs

A, B, PASS = (specs.ACTIONS.index(name) for name in ("a", "b", "pass"))
START = specs.ACTIONS.index("start")
FIRST_BLANK_LINE, LAST_BLANK_LINE = 144, 153
SETTLE_FRAMES = 48
BLACKOUT = 255
GAME_STEPS = 15_000
BAG_COUNT, BAG_ITEMS = 0xD31D, 0xD31E
ACTIVE_SLOT, OWN_SPECIES = 0xCC2F, 0xD014


def read_tables():
  return source.read(generator.WORLDS / "great_vale")


def read_facts():
  sha1 = hashlib.sha1(cartridge.GREAT_VALE.read_bytes()).hexdigest()
  found = cartridge.facts(sha1)
  assert found is not None
  return found


def fresh_game(seed=0):
  game = emulator.Emulator(roms.resolve(str(cartridge.GREAT_VALE)))
  game.reset(seed, jitter_frames=24)
  return game


def new_player(seed):
  player = demonstrator.make(read_facts()["rom_sha1"])
  player.reset(np.random.default_rng(seed))
  return player


def play(game, player, rng, steps, noise=0.0):
  """Yields memory after each step; ends early with the game."""
  for _ in range(steps):
    action = player.act(game.memory)
    if rng.random() < noise:
      action = int(rng.integers(specs.NUM_ACTIONS))
    game.step(action)
    yield game.memory
    if game.memory[ram.HALL_OF_FAME]:
      return


def where(memory):
  return memory[ram.MAP_ID], memory[ram.PLAYER_X], memory[ram.PLAYER_Y]


def flags_of(memory):
  data = memory[ram.EVENT_FLAGS : ram.EVENT_FLAGS + 40]
  return int.from_bytes(bytes(data), "little")


def has_flag(memory, number):
  return bool(flags_of(memory) >> number & 1)


def money_of(memory):
  digits = bytes(memory[ram.MONEY : ram.MONEY + 3]).hex()
  return int(digits)


def bag_of(memory):
  pairs = memory[BAG_ITEMS : BAG_ITEMS + 40][: 2 * memory[BAG_COUNT]]
  return dict(zip(pairs[::2], pairs[1::2], strict=True))


class Views:
  """What the screen has to show, from the tables alone."""

  def __init__(self):
    self._tables = read_tables()
    self._world = rom_banks.World(self._tables)
    self._places = {p.id: p for p in self._tables.places.values()}
    self._fields = {
      number: self._field(p) for number, p in self._places.items()
    }

  def _cells(self, place):
    letters = "".join(place.tileset.images)
    return np.array([[letters.index(c) for c in row] for row in place.rows])

  def _field(self, place):
    """Cell numbers with a rim of 8 of what lies around."""
    letters = "".join(place.tileset.images)
    border = letters.index(place.table["border"])
    field = np.full((place.height + 16, place.width + 16), border)
    field[8:-8, 8:-8] = self._cells(place)
    for edge, (name, offset) in place.table.get("connections", {}).items():
      other = self._cells(self._tables.places[name])
      for y in range(field.shape[0]):
        for x in range(field.shape[1]):
          to_x, to_y = x - 8, y - 8
          if edge in ("north", "south"):
            beyond = to_y < 0 if edge == "north" else to_y >= place.height
            to_x += offset
            to_y += len(other) if edge == "north" else -place.height
          else:
            beyond = to_x < 0 if edge == "west" else to_x >= place.width
            to_y += offset
            to_x += other.shape[1] if edge == "west" else -place.width
          if not beyond:
            continue
          if 0 <= to_y < len(other) and 0 <= to_x < other.shape[1]:
            field[y, x] = other[to_y, to_x]
    return field

  def tiles(self, map_id, x, y):
    """Tile ids `[18, 20]` with the player at (x, y)."""
    place = self._places[map_id]
    tiles = self._world.cell_tiles[place.table.get("tileset", "town")]
    view = self._fields[map_id][y + 4 : y + 13, x + 4 : x + 14]
    return (
      tiles[view].reshape(9, 10, 2, 2).transpose(0, 2, 1, 3).reshape(18, 20)
    )


def shadow_screen(memory):
  return np.array(memory[0xC3A0:0xC508]).reshape(18, 20)


def shown_screen(memory):
  """Tile ids on the screen; None in the middle of a cell."""
  control, scroll_x, scroll_y = memory[0xFF40], memory[0xFF43], memory[0xFF42]
  if scroll_x % 16 or scroll_y % 16:
    return None
  background = 0x9C00 if control & 0x08 else 0x9800
  window = 0x9C00 if control & 0x40 else 0x9800
  tiles = np.array(memory[background : background + 1024]).reshape(32, 32)
  tiles = np.roll(tiles, (-(scroll_y // 8), -(scroll_x // 8)), (0, 1))
  screen = tiles[:18, :20].copy()
  window_row = memory[0xFF4A] // 8
  if control & 0x20 and window_row < 18:
    tiles = np.array(memory[window : window + 1024]).reshape(32, 32)
    screen[window_row:] = tiles[: 18 - window_row, :20]
  return screen


def test_rebuild_gives_the_committed_bytes(tmp_path):
  version = build.sdcc_version()
  if version is None:
    pytest.skip("sdcc is not installed")
  if version != build.SDCC_VERSION:
    pytest.skip(f"sdcc {version}, the ROM was built with {build.SDCC_VERSION}")
  build.build("great_vale", tmp_path)
  for name in ("great_vale.gb", "great_vale.json"):
    committed = cartridge.GREAT_VALE.parent / name
    assert (tmp_path / name).read_bytes() == committed.read_bytes(), name


def test_facts_follow_from_the_tables():
  committed = dict(read_facts())
  assert 0xC600 <= committed.pop("vblank_end_line") < 0xCC00
  del committed["rom_sha1"]
  assert committed == json.loads(json.dumps(build.world_facts("great_vale")))


def test_header_names_the_mapper_and_the_size():
  rom = cartridge.GREAT_VALE.read_bytes()
  assert rom[0x147] == 1  # MBC1 without memory of its own
  assert len(rom) == 0x8000 << rom[0x148] <= 128 * 1024
  assert not any(rom[0x104:0x134])
  checksum = 0
  for byte in rom[0x134:0x14D]:
    checksum = (checksum - byte - 1) & 0xFF
  assert rom[0x14D] == checksum


def test_a_bank_holds_16_kilobytes_and_no_more():
  banks = rom_banks.Banks(4)
  assert banks.add(bytes(0x3FFF)) == (2, 0x4000)
  assert banks.add(bytes(2)) == (3, 0x4000)  # the next bank
  assert banks.add(bytes(1)) == (2, 0x7FFF)
  with pytest.raises(ValueError, match="no room"):
    banks.add(bytes(0x3FFF))
  with pytest.raises(ValueError, match="no room"):
    banks.add(bytes(1), 2)
  assert len(banks.image()) == 0x8000


def test_code_that_switches_banks_lies_in_bank_0():
  line = "     0000{:04X}  _far_move                          banks"
  build.check_bank_code(line.format(0x0280))
  with pytest.raises(ValueError, match="bank 0"):
    build.check_bank_code(line.format(0x4280))
  with pytest.raises(ValueError, match="not in"):
    build.check_bank_code("")


def test_a_map_with_its_rim_fits_memory():
  tables = read_tables()
  place = next(iter(tables.places.values()))
  place.rows = [place.rows[0] + place.rows[0][-1] * 40] * 40
  with pytest.raises(ValueError, match="around it"):
    rom_banks.World(tables)


def test_screen_memory_agrees_with_the_maps_for_thousands_of_steps():
  # Writes outside the vertical blank are lost while memory looks right.
  views = Views()
  end_line = read_facts()["vblank_end_line"]
  seen = collections.Counter()
  maps = set()
  for seed, noise in enumerate((0.05, 0.2, 0.2, 0.5, 1.0)):
    rng = np.random.default_rng(seed)
    game = fresh_game(seed)
    for memory in play(game, new_player(seed), rng, 900, noise):
      assert FIRST_BLANK_LINE <= memory[end_line] <= LAST_BLANK_LINE
      # What is being drawn is compared when it is done.
      for _ in range(SETTLE_FRAMES):
        shown = shown_screen(memory)
        if shown is not None and not memory[ram.WALK_COUNTER]:
          if np.array_equal(shown, shadow_screen(memory)):
            break
        game._pyboy.tick(1, False, False)
      np.testing.assert_array_equal(shown, shadow_screen(memory))
      if not memory[ram.STATUS_FLAGS_6] & 1 or memory[ram.IN_BATTLE]:
        seen["battle"] += memory[ram.IN_BATTLE] != 0
        continue
      rows = 18
      if memory[0xFF40] & 0x20:
        rows = min(18, memory[0xFF4A] // 8)
        seen["box"] += 1
      maps.add(memory[ram.MAP_ID])
      seen["field"] += 1
      expected = views.tiles(*where(memory))
      np.testing.assert_array_equal(shown[:rows], expected[:rows])
    game.close()
  assert seen["field"] > 1000 and seen["battle"] > 1000 and seen["box"] > 100
  assert len(maps) >= 10


@pytest.fixture(scope="module")
def story():
  """What happened in whole games of the scripted player."""
  facts = read_facts()
  happened = collections.defaultdict(list)
  for seed in (0, 1):
    rng = np.random.default_rng(seed)
    game = fresh_game(seed)
    before = None
    step = 0
    for memory in play(game, new_player(seed), rng, GAME_STEPS):
      step += 1
      here, battle = where(memory), memory[ram.IN_BATTLE]
      party = [
        memory[ram.PARTY + ram.PARTY_STRIDE * i]
        for i in range(memory[ram.PARTY_SIZE])
      ]
      now = {
        "here": here,
        "battle": battle,
        "bag": bag_of(memory),
        "money": money_of(memory),
        "badges": memory[ram.BADGE_FLAGS],
        "party": party,
        "level": memory[ram.PARTY + ram.LEVEL_OFFSET],
        "flags": flags_of(memory),
        "active": memory[ACTIVE_SLOT],
        "walking": memory[ram.WALK_COUNTER],
        "scripted": memory[ram.JOY_IGNORE],
        "palette": memory[0xFF47],
        "text": " ".join(screen_text.read(memory)[12:]),
      }
      if before is not None:
        happened["all"].append((before, now))
      before = now
    happened["won"].append((memory[ram.HALL_OF_FAME], step, now))
    game.close()
  happened["facts"] = facts
  return happened


def test_the_game_can_be_beaten(story):
  for won, step, now in story["won"]:
    assert won == 1 and now["badges"] == 7 and step < GAME_STEPS


def test_edges_warps_and_ledges_lead_where_the_tables_say(story):
  places = {p["id"]: p for p in story["facts"]["maps"]}
  edges = warps = ledges = 0
  for before, now in story["all"]:
    (number, x, y), (to, to_x, to_y) = before["here"], now["here"]
    if before["battle"] == BLACKOUT or now["battle"] == BLACKOUT:
      continue
    if to == number:
      ways = {(e["x"], e["y"]): e["way"] for e in places[number]["ledges"]}
      if max(abs(to_x - x), abs(to_y - y)) == 2 and not before["walking"]:
        way = ways[(x + to_x) // 2, (y + to_y) // 2]
        dx, dy = source.DIRECTIONS[way]
        assert (to_x - x, to_y - y) == (2 * dx, 2 * dy)
        ledges += 1
      continue
    leads = {(w["to"], w["to_x"], w["to_y"]) for w in places[number]["warps"]}
    if (to, to_x, to_y) in leads:
      warps += 1
      continue
    edge = {c["to"]: c for c in places[number]["connections"]}[to]
    if edge["edge"] in ("north", "south"):
      assert to_x == x + edge["offset"]
      assert to_y in (0, places[to]["height"] - 1)
    else:
      assert to_y == y + edge["offset"]
      assert to_x in (0, places[to]["width"] - 1)
    edges += 1
  assert edges > 10 and warps > 50


def test_frames_between_cells_and_fades_are_seen(story):
  moving = [now for _, now in story["all"] if now["walking"]]
  fading = [now for _, now in story["all"] if now["palette"] != 0xE4]
  assert len(moving) > 50 and len(fading) > 50


def test_things_are_found_bought_and_brought(story):
  gains = collections.Counter()
  for before, now in story["all"]:
    for item, count in now["bag"].items():
      more = count - before["bag"].get(item, 0)
      if more > 0:
        gains[item, more] += 1
        if now["money"] < before["money"]:
          prices = {i["id"]: i["price"] * 100 for i in story["facts"]["items"]}
          assert before["money"] - now["money"] == prices[item]
          gains["bought"] += 1
  ids = {item["name"]: item["id"] for item in story["facts"]["items"]}
  assert gains["bought"] and gains[ids["SALVE"], 2]
  assert gains[ids["STAR ORE"], 1] == len(story["won"])
  key_cut = story["facts"]["events"]["KEY_CUT"]
  for _, _, now in story["won"]:
    assert now["flags"] >> key_cut & 1 and ids["STAR ORE"] not in now["bag"]


def test_trainers_challenge_who_comes_into_their_sight(story):
  met = 0
  for before, now in story["all"]:
    if now["scripted"] and not before["scripted"]:
      number, x, y = now["here"]
      place = next(p for p in story["facts"]["maps"] if p["id"] == number)
      for person in place["people"]:
        if person["role"] != "trainer":
          continue
        dx, dy = source.DIRECTIONS[person["facing"]]
        sight = person["sight"]
        cells = {
          (person["x"] + dx * i, person["y"] + dy * i)
          for i in range(1, sight + 1)
        }
        met += (x, y) in cells
  assert met >= 6


def test_creatures_grow_learn_and_change(story):
  into = {}
  names = story["facts"]["species"]
  for entry in story["facts"]["species_numbers"]:
    if "evolves" in entry:
      into[names.index(entry["name"]) + 1] = entry["evolves"]
  changed = 0
  for before, now in story["all"]:
    if len(now["party"]) != len(before["party"]):
      continue
    for old, new in zip(before["party"], now["party"], strict=True):
      if old != new:
        assert names[new - 1] == into[old][0]
        changed += 1
  texts = " ".join(now["text"] for _, now in story["all"])
  assert changed and "LEARNS" in texts and "MISSES" in texts
  assert "HITS HARD" in texts and "HARDLY" in texts
  assert len({now["level"] for _, now in story["all"]}) > 10


def walk_until_battle(game, seed, steps=3000):
  rng = np.random.default_rng(seed)
  for memory in play(game, new_player(seed), rng, steps):
    if memory[ram.IN_BATTLE] in (1, 2):
      return
  raise AssertionError("no battle came")


def choose(game, word, limit=40):
  """Waits for the menu that shows `word` and chooses it."""
  for _ in range(limit):
    lines = screen_text.read(game.memory)
    action = screen_text.steer(lines, word)
    game.step(PASS if action is None else action)
    if action == A:
      return
  raise AssertionError(f"{word} was never offered")


def test_switching_changes_who_fights():
  facts = read_facts()
  game = fresh_game(0)
  rng = np.random.default_rng(0)
  for memory in play(game, new_player(0), rng, 3000):
    able = memory[ram.PARTY + ram.PARTY_STRIDE + 2] > 0
    menu = facts["texts"]["menu_run"] in " ".join(screen_text.read(memory))
    if memory[ram.PARTY_SIZE] > 1 and memory[ram.IN_BATTLE] and able and menu:
      break
  assert game.memory[ACTIVE_SLOT] == 0
  second = game.memory[ram.PARTY + ram.PARTY_STRIDE]
  choose(game, facts["texts"]["menu_switch"])
  choose(game, facts["species"][second - 1])
  for _ in range(6):
    game.step(PASS)
  assert game.memory[ACTIVE_SLOT] == 1
  assert game.memory[OWN_SPECIES] == second
  game.close()


@pytest.mark.parametrize("action", [PASS, A, B, START])
def test_a_battle_ends_whatever_one_button_is_pressed(action):
  game = fresh_game(1)
  walk_until_battle(game, 1)
  for _ in range(1500):
    game.step(action)
    if not game.memory[ram.IN_BATTLE]:
      break
  assert game.memory[ram.IN_BATTLE] == 0
  game.close()


def test_blackout_leads_to_the_last_healer_with_half_the_money():
  facts = read_facts()
  blackouts = 0
  for seed in range(6):
    # It fights whatever comes, but never heals nor flees.
    rng = np.random.default_rng(seed)
    game = fresh_game(seed)
    player = new_player(seed)
    money = 0
    for _ in range(4000):
      memory = game.memory
      if memory[ram.IN_BATTLE] in (1, 2):
        money = money_of(memory)
        action = A
      elif memory[ram.IN_BATTLE] == BLACKOUT:
        break
      else:
        action = player.act(memory)
        if rng.random() < 0.5 and memory[ram.STATUS_FLAGS_6] & 1:
          action = int(rng.integers(4))
      game.step(action)
    if game.memory[ram.IN_BATTLE] == BLACKOUT:
      for _ in range(20):
        game.step(PASS)
        if not game.memory[ram.IN_BATTLE]:
          break
      memory = game.memory
      assert money_of(memory) == money // 2
      assert memory[ram.BATTLE_RESULT] == 1
      place = next(p for p in facts["maps"] if p["id"] == memory[ram.MAP_ID])
      assert any(person["role"] == "healer" for person in place["people"])
      assert memory[ram.PARTY + 2] == memory[ram.PARTY + 0x23] > 0
      for _ in range(4):
        game.step(PASS)
      here = where(memory)
      game.step(specs.ACTIONS.index("down"))
      assert where(game.memory) != here
      blackouts += 1
    game.close()
    if blackouts:
      break
  assert blackouts


def test_a_shut_door_opens_after_its_event(story):
  (door,) = [
    (p["id"], d["x"], d["y"], d["flag"])
    for p in story["facts"]["maps"]
    for d in p["doors"]
  ]
  inside = {
    w["to"]
    for p in story["facts"]["maps"]
    for w in p["warps"]
    if (p["id"], w["x"], w["y"]) == door[:3]
  }
  visits = [now for _, now in story["all"] if now["here"][0] in inside]
  assert visits
  assert all(now["flags"] >> door[3] & 1 for now in visits)


def test_the_players_menu_opens_and_closes():
  game = fresh_game()
  game.step(START)
  for _ in range(4):
    game.step(PASS)
  game.step(START)
  game.step(PASS)
  assert game.memory[ram.FONT_LOADED] & 1
  choose(game, "GLIMS")
  game.step(PASS)
  assert "KINDLET" in " ".join(screen_text.read(game.memory))
  for _ in range(6):
    game.step(B)
  assert not game.memory[ram.FONT_LOADED] & 1
  game.close()
