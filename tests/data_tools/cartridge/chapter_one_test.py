"""The practice cartridge: its build, its facts, and that it plays fairly."""

import hashlib
import json

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.cartridge import build
from data_tools.cartridge import generator
from data_tools.game import emulator
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.players import demonstrator_small
from pokedreamer_jax import specs
from tests.data_tools.cartridge.play import play
from tests.data_tools.cartridge.play import shadow_screen
from tests.data_tools.cartridge.play import shown_screen
from tests.data_tools.cartridge.play import where

A, B, PASS = (specs.ACTIONS.index(name) for name in ("a", "b", "pass"))
START, UP = specs.ACTIONS.index("start"), specs.ACTIONS.index("up")
BOOT_STEPS = 6
BLACKOUT = 255
HOME, HEALER = 1, 4
FIGHT_LIMIT = 400  # steps without a button in which any battle is over


def fresh_game(seed=0):
  game = emulator.Emulator(roms.resolve(str(cartridge.CHAPTER_ONE)))
  game.reset(seed, jitter_frames=24)
  for _ in range(BOOT_STEPS):
    game.step(PASS)
  return game


def chapter_one():
  sha1 = hashlib.sha1(cartridge.CHAPTER_ONE.read_bytes()).hexdigest()
  world = cartridge.world(sha1)
  assert world is not None
  return world


def on_field(memory):
  return (
    memory[ram.STATUS_FLAGS_6] & 1
    and not memory[ram.IN_BATTLE]
    and not memory[ram.HALL_OF_FAME]
  )


def talking(memory):
  return memory[ram.FONT_LOADED] & 1


def test_rebuild_gives_the_committed_bytes(tmp_path):
  version = build.sdcc_version()
  if version is None:
    pytest.skip("sdcc is not installed")
  if version != build.SDCC_VERSION:
    pytest.skip(f"sdcc {version}, the ROM was built with {build.SDCC_VERSION}")
  build.build("chapter_one", tmp_path)
  for name in ("chapter_one.gb", "chapter_one.json"):
    committed = cartridge.CHAPTER_ONE.parent / name
    assert (tmp_path / name).read_bytes() == committed.read_bytes(), name


def test_facts_follow_from_the_tables_and_name_the_rom():
  path = cartridge.CHAPTER_ONE.with_suffix(".json")
  committed = json.loads(path.read_text())
  sha1 = hashlib.sha1(cartridge.CHAPTER_ONE.read_bytes()).hexdigest()
  facts = generator.facts(generator.load_world("chapter_one"))
  assert committed == {"rom_sha1": sha1, **facts}
  assert cartridge.world("0" * 40) is None


def test_header_is_a_plain_game_without_logo():
  rom = cartridge.CHAPTER_ONE.read_bytes()
  checksum = 0
  for byte in rom[0x134:0x14D]:
    checksum = (checksum - byte - 1) & 0xFF
  assert rom[0x14D] == checksum
  assert not any(rom[0x104:0x134])
  assert rom[0x143] < 0x80  # not for colour machines
  assert (
    int.from_bytes(rom[0x14E:0x150], "big")
    == (sum(rom) - rom[0x14E] - rom[0x14F]) & 0xFFFF
  )


@pytest.mark.parametrize(
  "area", [{"_CODE": (0x200, 0x7E01)}, {"_DATA": (0xC600, 0x601)}]
)
def test_build_refuses_what_the_linker_lets_pass(area):
  with pytest.raises(ValueError, match=r"^_CODE|^_DATA"):
    build.check_areas(area)


def test_linker_map_is_read():
  text = "_DATA                    0000C600    00000261 =         609. bytes"
  assert build.areas(text) == {"_DATA": (0xC600, 0x261)}


def test_texts_wrap_into_the_box():
  pages = generator.wrap_pages(["AAAA BBBB CCCC DDDD EEEE FFFF GGGG HHHH"])
  assert pages == [["AAAA BBBB CCCC", "DDDD EEEE FFFF"], ["GGGG HHHH"]]
  # 18 letters fit the first line only: the second has the arrow.
  assert generator.wrap_pages(["A" * 18]) == [["A" * 18]]
  with pytest.raises(ValueError, match="17"):
    generator.wrap_pages(["A " + "B" * 18])
  with pytest.raises(ValueError, match="letters"):
    generator.encode("é")


def test_every_map_can_be_reached_and_left():
  world = chapter_one()
  reached, border = set(), [(HOME, 3, 2)]
  warps = {
    (m.id, w.x, w.y): (w.to, w.to_x, w.to_y)
    for m in world.maps.values()
    for w in m.warps
  }
  while border:
    cell = border.pop()
    if cell in reached:
      continue
    reached.add(cell)
    number, x, y = cell
    place = world.maps[number]
    for to_x, to_y in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
      inside = 0 <= to_x < place.width and 0 <= to_y < place.height
      if inside and place.walkable[to_y, to_x]:
        border.append(warps.get((number, to_x, to_y), (number, to_x, to_y)))
  assert {cell[0] for cell in reached} == set(world.maps)
  # Both ways: what a warp leads to leads back.
  for (number, _, _), (to, _, _) in warps.items():
    assert number in {w.to for w in world.maps[to].warps}


def test_screen_memory_agrees_with_the_maps_for_thousands_of_steps():
  # Writes outside the vertical blank are lost while memory looks right.
  source = generator.load_world("chapter_one")
  world = chapter_one()
  player = demonstrator_small.Demonstrator(world)
  field_steps = battle_steps = dialog_steps = 0
  noises = (0.0, 0.3, 0.3, 0.6, 0.6, 0.6, 1.0, 1.0, 1.0, 0.3, 0.3, 0.6)
  for seed, noise in enumerate(noises):
    rng = np.random.default_rng(seed)
    game = fresh_game(seed)
    player.reset(rng)
    for memory in play(game, player, rng, 450, noise):
      assert memory[0xFF43] % 8 == 0 and memory[0xFF42] % 8 == 0, "mid-step"
      shown = shown_screen(memory)
      np.testing.assert_array_equal(shown, shadow_screen(memory))
      battle_steps += memory[ram.IN_BATTLE] in (1, 2)
      if not on_field(memory):
        continue
      field_steps += 1
      dialog_steps += talking(memory)
      rows = 12 if talking(memory) else 18
      expected = source.screen_tiles(*where(memory))
      np.testing.assert_array_equal(shown[:rows], expected[:rows])
    game.close()
  assert field_steps > 1200 and battle_steps > 200 and dialog_steps > 50


def test_a_step_is_one_cell_or_a_warp_and_ends_within_its_action():
  world = chapter_one()
  rng = np.random.default_rng(3)
  game = fresh_game(3)
  player = demonstrator_small.Demonstrator(world)
  player.reset(rng)
  before, was_on_field = None, False
  for memory in play(game, player, rng, 600, 0.3):
    assert memory[ram.WALK_COUNTER] == 0
    here = where(memory)
    if on_field(memory) and was_on_field and here != before:
      number, x, y = before
      beside = {(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)}
      if here[0] == number:
        assert here[1:] in beside
      else:
        (warp,) = [
          w
          for w in world.maps[number].warps
          if (w.x, w.y) in beside and (w.to, w.to_x, w.to_y) == here
        ]
        assert world.maps[number].walkable[warp.y, warp.x]
    before, was_on_field = here, on_field(memory)
  game.close()


def test_frames_have_four_shades_and_are_never_blank():
  rng = np.random.default_rng(5)
  game = fresh_game(5)
  player = demonstrator_small.Demonstrator(chapter_one())
  player.reset(rng)
  for _ in play(game, player, rng, 400, 0.2):
    values, counts = np.unique(
      game._pyboy.screen.ndarray[:, :, :3], return_counts=True
    )
    assert set(values.tolist()) <= {0, 85, 153, 255}
    assert counts.max() < counts.sum()
  game.close()


def talk_to_aunt(game):
  for name in ("start", "down", "left", "a"):
    game.step(specs.ACTIONS.index(name))
  assert talking(game.memory)


@pytest.mark.parametrize("action, limit", [(A, 4), (B, 4), (PASS, 30)])
def test_a_text_ends_with_a_or_b_or_by_itself(action, limit):
  game = fresh_game()
  talk_to_aunt(game)
  for _ in range(limit):
    game.step(action)
    if not talking(game.memory):
      break
  assert not talking(game.memory)
  game.step(UP)
  assert where(game.memory) == (HOME, 2, 2)  # and the player has control
  game.close()


def test_a_battle_ends_without_any_button():
  rng = np.random.default_rng(1)
  game = fresh_game(1)
  player = demonstrator_small.Demonstrator(chapter_one())
  player.reset(rng)
  for memory in play(game, player, rng, 200):
    if memory[ram.IN_BATTLE]:
      break
  assert game.memory[ram.IN_BATTLE] == 1
  for _ in range(FIGHT_LIMIT):
    game.step(PASS)
    if not game.memory[ram.IN_BATTLE]:
      break
  assert game.memory[ram.IN_BATTLE] == 0
  game.close()


def test_blackout_leads_to_the_healer_with_full_hp():
  # A player that challenges the leader at once loses.
  rng = np.random.default_rng(2)
  player = demonstrator_small.Demonstrator(chapter_one(), (5,), (1,))
  player.reset(rng)
  game = fresh_game(2)
  blackouts = 0
  steps_in_blackout = 0
  for memory in play(game, player, rng, 250):
    if memory[ram.IN_BATTLE] == BLACKOUT:
      steps_in_blackout += 1
      assert memory[ram.PARTY + 2] == 0
    elif steps_in_blackout:
      blackouts += 1
      break
  assert blackouts == 1 and steps_in_blackout >= 2
  assert memory[ram.BATTLE_RESULT] == 1
  assert memory[ram.MAP_ID] == HEALER
  assert memory[ram.PARTY + 2] == memory[ram.PARTY + ram.MAX_HP_OFFSET + 1] > 0
  here = where(memory)
  game.step(specs.ACTIONS.index("down"))
  assert where(game.memory) != here
  game.close()


def test_chance_depends_on_when_a_button_is_pressed():
  # One pass more or less before the same walk changes what is met.
  outcomes = set()
  for delay in range(6):
    game = fresh_game()
    for _ in range(delay):
      game.step(PASS)
    player = demonstrator_small.Demonstrator(chapter_one())
    player.reset(np.random.default_rng(0))
    rng = np.random.default_rng(0)
    met = None
    for count, memory in enumerate(play(game, player, rng, 120)):
      if memory[ram.IN_BATTLE]:
        met = (count, memory[ram.ENEMY_SPECIES], memory[ram.ENEMY_LEVEL])
        break
    outcomes.add(met)
    game.close()
  assert len(outcomes) > 1
