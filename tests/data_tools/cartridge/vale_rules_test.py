"""Every feature of the great vale, in play."""

import collections

import numpy as np
import pytest

from data_tools.cartridge import tables as source
from data_tools.game import ram_addresses as ram
from data_tools.players import screen_text
from data_tools.players import ways
from pokedreamer_jax import specs
from tests.data_tools.cartridge import play as cartridge_play
from tests.data_tools.players import vale_game

GAME_STEPS = 15_000


@pytest.fixture(scope="module")
def story():
  """What happened in whole games of the scripted player."""
  facts = vale_game.read_facts()
  happened = collections.defaultdict(list)
  for seed in (0, 1):
    rng = np.random.default_rng(seed)
    game = vale_game.fresh_game(seed)
    before = None
    step = 0
    for memory in cartridge_play.play(
      game, vale_game.new_player(seed), rng, GAME_STEPS
    ):
      step += 1
      here, battle = cartridge_play.where(memory), memory[ram.IN_BATTLE]
      party = [
        memory[ram.PARTY + ram.PARTY_STRIDE * i]
        for i in range(memory[ram.PARTY_SIZE])
      ]
      now = {
        "here": here,
        "battle": battle,
        "bag": vale_game.bag_of(memory),
        "money": vale_game.money_of(memory),
        "badges": memory[ram.BADGE_FLAGS],
        "party": party,
        "level": memory[ram.PARTY + ram.LEVEL_OFFSET],
        "flags": vale_game.flags_of(memory),
        "active": memory[vale_game.ACTIVE_SLOT],
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
  edges = warps = 0
  for before, now in story["all"]:
    (number, x, y), (to, to_x, to_y) = before["here"], now["here"]
    if (
      before["battle"] == vale_game.BLACKOUT
      or now["battle"] == vale_game.BLACKOUT
    ):
      continue
    if to == number:
      ways = {(e["x"], e["y"]): e["way"] for e in places[number]["ledges"]}
      if max(abs(to_x - x), abs(to_y - y)) == 2 and not before["walking"]:
        way = ways[(x + to_x) // 2, (y + to_y) // 2]
        dx, dy = source.DIRECTIONS[way]
        assert (to_x - x, to_y - y) == (2 * dx, 2 * dy)
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
  for memory in cartridge_play.play(
    game, vale_game.new_player(seed), rng, steps
  ):
    if memory[ram.IN_BATTLE] in (1, 2):
      return
  raise AssertionError("no battle came")


def choose(game, word, limit=40):
  """Waits for the menu that shows `word` and chooses it."""
  for _ in range(limit):
    lines = screen_text.read(game.memory)
    action = screen_text.steer(lines, word)
    game.step(vale_game.PASS if action is None else action)
    if action == vale_game.A:
      return
  raise AssertionError(f"{word} was never offered")


def test_switching_changes_who_fights():
  facts = vale_game.read_facts()
  game = vale_game.fresh_game(0)
  rng = np.random.default_rng(0)
  for memory in cartridge_play.play(game, vale_game.new_player(0), rng, 3000):
    able = memory[ram.PARTY + ram.PARTY_STRIDE + 2] > 0
    menu = facts["texts"]["menu_run"] in " ".join(screen_text.read(memory))
    if memory[ram.PARTY_SIZE] > 1 and memory[ram.IN_BATTLE] and able and menu:
      break
  assert game.memory[vale_game.ACTIVE_SLOT] == 0
  second = game.memory[ram.PARTY + ram.PARTY_STRIDE]
  choose(game, facts["texts"]["menu_switch"])
  choose(game, facts["species"][second - 1])
  for _ in range(6):
    game.step(vale_game.PASS)
  assert game.memory[vale_game.ACTIVE_SLOT] == 1
  assert game.memory[vale_game.OWN_SPECIES] == second
  game.close()


@pytest.mark.parametrize(
  "action", [vale_game.PASS, vale_game.A, vale_game.B, vale_game.START]
)
def test_a_battle_ends_whatever_one_button_is_pressed(action):
  game = vale_game.fresh_game(1)
  walk_until_battle(game, 1)
  for _ in range(1500):
    game.step(action)
    if not game.memory[ram.IN_BATTLE]:
      break
  assert game.memory[ram.IN_BATTLE] == 0
  game.close()


def test_blackout_leads_to_the_last_healer_with_half_the_money():
  facts = vale_game.read_facts()
  blackouts = 0
  for seed in range(6):
    # It fights whatever comes, but never heals nor flees.
    rng = np.random.default_rng(seed)
    game = vale_game.fresh_game(seed)
    player = vale_game.new_player(seed)
    money = 0
    for _ in range(4000):
      memory = game.memory
      if memory[ram.IN_BATTLE] in (1, 2):
        money = vale_game.money_of(memory)
        action = vale_game.A
      elif memory[ram.IN_BATTLE] == vale_game.BLACKOUT:
        break
      else:
        action = player.act(memory)
        if rng.random() < 0.5 and memory[ram.STATUS_FLAGS_6] & 1:
          action = int(rng.integers(4))
      game.step(action)
    if game.memory[ram.IN_BATTLE] == vale_game.BLACKOUT:
      for _ in range(20):
        game.step(vale_game.PASS)
        if not game.memory[ram.IN_BATTLE]:
          break
      memory = game.memory
      assert vale_game.money_of(memory) == money // 2
      assert memory[ram.BATTLE_RESULT] == 1
      place = next(p for p in facts["maps"] if p["id"] == memory[ram.MAP_ID])
      assert any(person["role"] == "healer" for person in place["people"])
      assert memory[ram.PARTY + 2] == memory[ram.PARTY + 0x23] > 0
      for _ in range(4):
        game.step(vale_game.PASS)
      here = cartridge_play.where(memory)
      game.step(specs.ACTIONS.index("down"))
      assert cartridge_play.where(game.memory) != here
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


def go_to(game, goals, player, steps=1500):
  """Walks to one of the cells; the player fights what comes between."""
  way = ways.Ways(vale_game.read_facts())
  for _ in range(steps):
    memory = game.memory
    busy = memory[ram.IN_BATTLE] or memory[ram.FONT_LOADED] & 1
    moving = memory[ram.WALK_COUNTER] or memory[ram.JOY_IGNORE]
    if not memory[ram.STATUS_FLAGS_6] & 1 or busy:
      game.step(player.act(memory))
    elif moving:
      game.step(vale_game.PASS)
    elif cartridge_play.where(memory) in goals:
      return
    else:
      game.step(
        way.steps(
          cartridge_play.where(memory), goals, vale_game.flags_of(memory)
        )[0]
      )
  raise AssertionError("never came there")


def test_a_ledge_is_jumped_down_and_not_climbed():
  facts = vale_game.read_facts()
  (place,) = [p for p in facts["maps"] if p["name"] == "route_1"]
  above = {
    (place["id"], e["x"], e["y"] - 1)
    for e in place["ledges"]
    if e["way"] == "down" and place["walkable"][e["y"] + 1][e["x"]] == "1"
  }
  game = vale_game.fresh_game(3)
  go_to(game, above, vale_game.new_player(3))
  number, x, y = cartridge_play.where(game.memory)
  game.step(specs.ACTIONS.index("down"))
  # In the air, and still where it took off as far as memory knows.
  assert game.memory[ram.WALK_COUNTER] and cartridge_play.where(
    game.memory
  ) == (
    number,
    x,
    y,
  )
  assert game.memory[0xC300] < 4 * 16 + 16
  game.step(vale_game.PASS)
  assert cartridge_play.where(game.memory) == (number, x, y + 2)
  game.step(specs.ACTIONS.index("up"))
  game.step(vale_game.PASS)
  assert cartridge_play.where(game.memory) == (number, x, y + 2)
  game.close()


def test_a_shut_door_says_so_and_lets_nobody_in():
  facts = vale_game.read_facts()
  (number, door) = next((p["id"], d) for p in facts["maps"] for d in p["doors"])
  before = (number, door["x"], door["y"] + 1)
  game = vale_game.fresh_game(4)
  go_to(game, {before}, vale_game.new_player(4))
  game.step(specs.ACTIONS.index("up"))
  game.step(vale_game.PASS)
  assert game.memory[ram.FONT_LOADED] & 1
  for _ in range(40):
    game.step(vale_game.PASS)
  assert not game.memory[ram.FONT_LOADED] & 1
  assert cartridge_play.where(game.memory) == before
  game.close()


def test_letters_appear_one_by_one_over_several_steps():
  game = vale_game.fresh_game(4)
  facts = vale_game.read_facts()
  sign = next(
    (p["id"], q["x"], q["y"] + 1)
    for p in facts["maps"]
    if p["name"] == "fernby"
    for q in p["people"]
    if q.get("sign") and p["walkable"][q["y"] + 1][q["x"]] == "1"
  )
  go_to(game, {sign}, vale_game.new_player(4))
  game.step(specs.ACTIONS.index("up"))
  game.step(vale_game.A)
  lengths = []
  for _ in range(6):
    box = "".join(screen_text.read(game.memory)[13:17])
    lengths.append(len("".join(box.split())))
    game.step(vale_game.PASS)
  assert len(set(lengths)) >= 3 and lengths == sorted(lengths)
  game.close()


def test_the_players_menu_opens_and_closes():
  game = vale_game.fresh_game()
  game.step(vale_game.START)
  for _ in range(4):
    game.step(vale_game.PASS)
  game.step(vale_game.START)
  game.step(vale_game.PASS)
  assert game.memory[ram.FONT_LOADED] & 1
  choose(game, "GLIMS")
  game.step(vale_game.PASS)
  assert "KINDLET" in " ".join(screen_text.read(game.memory))
  for _ in range(6):
    game.step(vale_game.B)
  assert not game.memory[ram.FONT_LOADED] & 1
  game.close()
