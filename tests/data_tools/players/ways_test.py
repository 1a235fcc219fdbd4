"""Ways, tactics and menus of the scripted player, without an emulator."""

import numpy as np
import pytest

from data_tools.cartridge import full_facts
from data_tools.cartridge import generator
from data_tools.cartridge import story
from data_tools.cartridge import tables as source
from data_tools.players import screen_text
from data_tools.players import vale_fight
from data_tools.players import vale_state
from data_tools.players import ways
from pokedreamer_jax import specs

A, DOWN, RIGHT, UP = (
  specs.ACTIONS.index(name) for name in ("a", "down", "right", "up")
)
SCREEN = 0xC3A0


@pytest.fixture(scope="module")
def tables():
  return source.read(source.WORLDS / "great_vale")


@pytest.fixture(scope="module")
def facts(tables):
  return full_facts.facts(tables)


def flags_of(tables, told):
  """The story as the bit mask that the game keeps."""
  numbers = full_facts.flag_numbers(tables)
  names = [("event", name) for name in told.events]
  names += [("person", key) for key in told.met]
  return sum(1 << numbers[name] for name in names)


def test_ways_agree_with_the_story_step_by_step(tables, facts):
  way = ways.Ways(facts)
  ids = {place.name: place.id for place in tables.places.values()}
  for told in (story.Story(), story.tell(tables)[0]):
    flags = flags_of(tables, told)
    closed = way.closed(flags)
    cells = story.reached(tables, told, story.start_cell(tables))
    assert len(cells) > 1000
    for name, x, y in cells:
      expected = {
        (specs.ACTIONS.index(direction), (ids[to[0]], *to[1:]))
        for direction, to in story.steps(tables, told, (name, x, y))
      }
      found = {
        (action, to)
        for action, entered, to in way.exits[ids[name], x, y]
        if entered not in closed
      }
      assert found == expected, (name, x, y)


def test_first_steps_lead_one_nearer(facts):
  way = ways.Ways(facts)
  goal = (10, 11, 5)
  distances = way.distances([goal], 0)
  for here in [(1, 3, 2), (6, 7, 10), (7, 23, 19), (9, 5, 5)]:
    for action in way.steps(here, [goal], 0):
      (to,) = [to for a, _, to in way.exits[here] if a == action]
      assert distances[to] == distances[here] - 1
  assert way.steps(goal, [(26, 6, 2)], 0) == []  # a door is in the way


def test_a_shopkeeper_is_addressed_over_the_counter(tables, facts):
  way = ways.Ways(facts)
  (keeper,) = [p for p in way.people if p.facts["name"] == "TOLL"]
  shop = tables.places["fern_shop"].id
  assert (shop, 3, 3) in way.beside(keeper)
  assert way.beside(keeper)[shop, 3, 3] == "up"


def test_every_flag_has_a_number_of_its_own(tables):
  numbers = list(full_facts.flag_numbers(tables).values())
  assert sorted(numbers) == list(range(len(numbers)))


def glim(facts, name, level, share=1.0):
  number = facts["species"].index(name) + 1
  entry = facts["species_numbers"][number - 1]
  most = entry["hp"] + entry["hp_growth"] * level
  return vale_state.Glim(
    species=number,
    level=level,
    hp=int(share * most),
    max_hp=most,
    attack=entry["attack"] + level,
    defense=entry["defense"] + level,
    speed=entry["speed"] + level,
    moves=vale_fight.Tactics(facts).known_moves(number, level),
  )


def test_types_decide_the_move_and_who_fights(facts):
  tactics = vale_fight.Tactics(facts)
  fire, leaf = glim(facts, "KINDLET", 12), glim(facts, "MOSSOT", 11)
  frog, shroom = glim(facts, "GURGLOB", 12), glim(facts, "SPORLET", 12)
  name = tactics.move_name
  # FLAREUP 7 against leaves: 2 * (7 + 14 - 14 + 1) = 16 before misses.
  assert name(tactics.best_move(fire, shroom)) == "FLAREUP"
  assert tactics.damage(5, fire, shroom) == pytest.approx(16 * 230 / 256)
  assert name(tactics.best_move(fire, frog)) == "BARGE"  # fire is halved
  assert tactics.duel(leaf, frog) > tactics.duel(fire, frog)
  state = vale_state.State(
    here=(1, 1, 1),
    facing="down",
    flags=0,
    badges=0,
    bag={},
    money=0,
    owned=0,
    party=(fire, leaf),
    active=0,
  )
  assert tactics.choose_slot(state, frog) == 1
  assert tactics.should_throw(fire, glim(facts, "MOSSOT", 3, 0.4))
  assert not tactics.should_throw(glim(facts, "MOSSOT", 3), frog)


def memory_with(lines):
  memory = np.zeros(0x10000, np.uint8)
  for row, line in enumerate(lines):
    codes = [generator.CHARSET[letter] for letter in line.ljust(20)]
    memory[SCREEN + 20 * row : SCREEN + 20 * (row + 1)] = codes
  return memory


def test_menus_are_read_and_steered_by_their_words():
  memory = memory_with(
    ["KINDLET", "", " ▶ATTACK   BAG", "  SWITCH   RUN", "", "  LANTERN"]
  )
  lines = screen_text.read(memory)
  assert screen_text.cursor(lines) == (2, 1)
  assert screen_text.marked(lines).split() == ["ATTACK", "BAG"]
  assert screen_text.steer(lines, "ATTACK") == A
  assert screen_text.steer(lines, "SWITCH") == DOWN
  assert screen_text.steer(lines, "RUN") in (DOWN, RIGHT)
  assert screen_text.steer(lines, "BAG") == RIGHT
  assert screen_text.steer(lines, "KINDLET") is None  # no room for a cursor
  assert screen_text.steer(lines, "SALVE") is None
  no_menu = screen_text.read(memory_with(["ATTACK"]))
  assert screen_text.steer(no_menu, "ATTACK") is None
  up = screen_text.read(memory_with(["  LANTERN", " ▶SALVE"]))
  assert screen_text.steer(up, "LANTERN") == UP
