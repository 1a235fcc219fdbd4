import numpy as np
import pytest

from data_tools.game import clocks
from data_tools.game import emulator
from data_tools.game import frame_codec
from data_tools.game import game_state
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.players import policies
from pokedreamer_jax import specs


def _memory(**values):
  """A 64 KiB image of a running game; names of addresses -> byte or bytes."""
  memory = np.zeros(1 << 16, np.uint8)
  memory[ram.STATUS_FLAGS_6] = 1
  for name, value in values.items():
    data = [value] if isinstance(value, int) else list(value)
    start = getattr(ram, name)
    memory[start : start + len(data)] = data
  return memory


def _row(memory):
  row = np.zeros(ram.RAM_BYTES, np.uint8)
  game_state.copy_ranges(memory, row)
  return row


def test_every_copied_byte_comes_from_its_address():
  memory = np.random.default_rng(0).integers(0, 256, 1 << 16).astype(np.uint8)
  row = _row(memory)
  for start, length in ram.RANGES:
    for address in (start, start + length - 1):
      assert row[ram.column(address)] == memory[address]
  for address in (0, ram.PLAYER_FACING + 1, ram.TEXT_BOX_ID, 0xFFFF):
    with pytest.raises(KeyError):
      ram.column(address)


def test_ranges_rise_and_do_not_overlap():
  ends = [start + length for start, length in ram.RANGES]
  assert all(
    end <= start for end, (start, _) in zip(ends, ram.RANGES[1:], strict=False)
  )


def test_fields_have_the_contract_s_names_shapes_and_types():
  fields = game_state.decode(np.zeros((3, ram.RAM_BYTES), np.uint8))
  names = [field.name for field in specs.RAM_FIELDS]
  assert {*fields, *specs.CLOCK_FIELDS} == set(names)
  assert len(fields) + len(specs.CLOCK_FIELDS) == len(names)
  fields |= clocks.nothing(3)
  for field in specs.RAM_FIELDS:
    assert fields[field.name].shape == (3, *field.shape)
    assert fields[field.name].dtype == field.dtype


def test_numbers_of_one_state():
  memory = _memory(
    MAP_ID=0x25, PLAYER_X=3, PLAYER_Y=6, PLAYER_X_IN_BLOCK=1, PLAYER_FACING=8,
    BADGE_FLAGS=0b101, MONEY=(0x12, 0x34, 0x56), HALL_OF_FAME=2,
    PARTY_SIZE=2, PARTY_SPECIES=(0xB0, 0x24, 0xFF, 0x99),
    DEX_OWNED=(0b11, 0, 0b1), DEX_SEEN=(0xFF,),
    # Three kinds: 5 and 2 that catch, 9 salves; what follows is stale.
    BAG_COUNT=3, BAG_ITEMS=(4, 5, 20, 9, 3, 2, 1, 99),
  )  # fmt: skip
  for slot, (hp, top, level, xp) in enumerate(
    [(300, 400, 20, 0x01E240), (5, 9, 3, 27), (7, 7, 7, 7)]
  ):
    base = ram.PARTY + slot * ram.PARTY_STRIDE
    memory[base + 1 : base + 3] = divmod(hp, 256)
    memory[base + 0x0E : base + 0x11] = xp >> 16, xp >> 8 & 255, xp & 255
    memory[base + 0x21] = level
    memory[base + 0x22 : base + 0x24] = divmod(top, 256)
  state = game_state.from_memory(memory)
  assert (state.map_id, state.x, state.y) == (0x25, 3, 6)
  assert state.map_name == "Red's House 1F"
  assert state.facing_name == "left"
  assert state.badge_count == 2
  assert state.money == 123456
  assert (state.capture_items, state.heal_items) == (7, 9)
  assert (state.dex_owned, state.dex_seen) == (3, 8)
  # The third slot is stale: the party has two members.
  assert state.party_species == (0xB0, 0x24, 0, 0, 0, 0)
  assert state.party_hp == (300, 5, 0, 0, 0, 0)
  assert state.party_max_hp == (400, 9, 0, 0, 0, 0)
  assert state.party_level == (20, 3, 0, 0, 0, 0)
  assert state.party_xp == (123456, 27, 0, 0, 0, 0)
  assert (state.total_hp, state.total_max_hp) == (305, 409)
  assert state.game_running and state.has_control


@pytest.mark.parametrize(
  ("palette", "darker"),
  [
    *[(0xE4, 0), (0xF9, 1), (0xFE, 2), (0xFF, 3)],
    *[(0x90, -1), (0x40, -2), (0x00, -3)],
    (0x1B, 0),  # turned upside down: no fade
  ],
)
def test_a_fading_screen_is_told_by_its_palette(palette, darker):
  state = game_state.from_memory(_memory(PALETTE=(palette,)))
  assert specs.SHADES[state.shade] == darker


def test_published_hp_addresses():
  assert [hex(address) for address in ram.HP_ADDRESSES[:2]] == [
    "0xd16c", "0xd198"
  ]  # fmt: skip
  assert hex(ram.MAX_HP_ADDRESSES[0]) == "0xd18d"


# As the disassembly's symbols, a second symbol file and 29 memory images agree
# on (Red and Blue, USA and Europe): name -> address.
_VERIFIED = {
  "PLAYER_FACING": 0xC109, "SCREEN_TILES": 0xC3A0, "MENU_ITEM": 0xCC26,
  "JOY_IGNORE": 0xCD6B, "BATTLE_RESULT": 0xCF0B, "FONT_LOADED": 0xCFC4,
  "WALK_COUNTER": 0xCFC5, "ENEMY_SPECIES": 0xCFE5, "ENEMY_HP": 0xCFE6,
  "ENEMY_LEVEL": 0xCFF3, "IN_BATTLE": 0xD057, "BATTLE_TYPE": 0xD05A,
  "ESCAPED_FROM_BATTLE": 0xD078, "CAPTURED_SPECIES": 0xD11C,
  "TEXT_BOX_ID": 0xD125, "PARTY_SIZE": 0xD163, "PARTY_SPECIES": 0xD164,
  "PARTY": 0xD16B, "DEX_OWNED": 0xD2F7, "DEX_SEEN": 0xD30A,
  "BAG_COUNT": 0xD31D, "MONEY": 0xD347, "BADGE_FLAGS": 0xD356,
  "MAP_ID": 0xD35E, "PLAYER_Y": 0xD361, "PLAYER_X": 0xD362,
  "PLAYER_Y_IN_BLOCK": 0xD363, "PLAYER_X_IN_BLOCK": 0xD364,
  "HALL_OF_FAME": 0xD5A2, "STATUS_FLAGS_5": 0xD730, "STATUS_FLAGS_6": 0xD732,
  "EVENT_FLAGS": 0xD747, "ACTIVE_SLOT": 0xCC2F, "ENEMY_MAX_HP": 0xCFF4,
}  # fmt: skip
# Within a member's structure, from the addresses of the first member.
_VERIFIED_FIRST_MEMBER = {
  "HP_OFFSET": 0xD16C, "OT_ID_OFFSET": 0xD177, "XP_OFFSET": 0xD179,
  "DVS_OFFSET": 0xD186, "LEVEL_OFFSET": 0xD18C, "MAX_HP_OFFSET": 0xD18D,
}  # fmt: skip


def test_addresses_are_the_verified_ones():
  assert {name: getattr(ram, name) for name in _VERIFIED} == _VERIFIED
  for name, address in _VERIFIED_FIRST_MEMBER.items():
    assert ram.PARTY + getattr(ram, name) == address, name
  # Rows of 20 tiles; the corners of the box in rows 12 and 17.
  corners = [0xC490, 0xC4A3, 0xC4F4, 0xC507]
  assert ram.MESSAGE_BOX == tuple(
    zip(corners, (0x79, 0x7B, 0x7D, 0x7E), strict=True)
  )
  # The single bytes between the size and the structures are the species.
  assert ram.PARTY - ram.PARTY_SPECIES == ram.PARTY_SLOTS + 1
  assert ram.EVENT_FLAGS + ram.EVENT_FLAG_BYTES == 0xD887


def test_map_and_facing_names():
  assert len(ram.MAP_NAMES) == 248 and set(ram.MAP_NAMES) == set(range(0xF8))
  # The first publication had the player's home at 0xF5 and no Saffron.
  for map_id, name in [
    (0x00, "Pallet Town"), (0x0A, "Saffron City"), (0x0C, "Route 1"),
    (0x24, "Route 25"), (0x25, "Red's House 1F"), (0x26, "Red's House 2F"),
    (0x27, "Blue's House"), (0x28, "Oak's Lab"), (0x36, "Pewter Gym"),
    (0x76, "Hall Of Fame"), (0xC5, "Diglett's Cave"),
    (0xE8, "Rock Tunnel B1F"), (0xF5, "Lorelei's Room"),
    (0xF7, "Agatha's Room"),
  ]:  # fmt: skip
    assert ram.MAP_NAMES[map_id] == name
  assert ram.FACING_NAMES == {0: "down", 4: "up", 8: "left", 12: "right"}
  for byte, name in ram.FACING_NAMES.items():
    state = game_state.from_memory(_memory(PLAYER_FACING=byte))
    assert state.facing_name == name


def test_before_a_game_runs_every_field_is_zero():
  memory = np.full(1 << 16, 0xFF, np.uint8)
  memory[ram.STATUS_FLAGS_6] = 0xFE
  row = _row(memory)
  for name, array in game_state.decode(row[None]).items():
    assert not array.any(), name
  assert game_state.from_memory(memory).map_name == "no game running"


def test_the_last_text_box_id_is_no_dialog():
  memory = _memory()
  memory[ram.TEXT_BOX_ID] = 1
  memory[0xC4F1] = 0x20  # a map tile
  assert not game_state.from_memory(memory).dialog_open


def _draw_box(memory):
  for address, tile in ram.MESSAGE_BOX:
    memory[address] = tile
  return memory


def test_dialog_is_text_outside_battle():
  read = game_state.from_memory
  assert read(_memory(FONT_LOADED=1)).dialog_open
  assert read(_draw_box(_memory())).dialog_open
  for in_battle in (1, 2, 255):
    memory = _draw_box(_memory(FONT_LOADED=1, IN_BATTLE=in_battle))
    assert not read(memory).dialog_open
  three_corners = _draw_box(_memory())
  three_corners[ram.MESSAGE_BOX[3][0]] = 0x10
  assert not read(three_corners).dialog_open


@pytest.mark.parametrize("place", [0, 187, 359])
def test_a_menu_is_a_cursor_anywhere_on_the_screen(place):
  memory = _memory(MENU_ITEM=3)
  assert game_state.from_memory(memory).menu_item == 0  # stale
  memory[ram.SCREEN_TILES + place] = ram.CURSOR_TILE
  state = game_state.from_memory(memory)
  assert (state.menu_open, state.menu_item) == (True, 3)


def test_enemy_fields_are_stale_outside_battle():
  for in_battle, known in [(0, 0), (1, 1), (2, 1), (255, 0)]:
    state = game_state.from_memory(
      _memory(
        IN_BATTLE=in_battle,
        ENEMY_SPECIES=33,
        ENEMY_HP=(1, 2),
        ENEMY_LEVEL=5,
      )
    )
    found = (state.enemy_species, state.enemy_hp, state.enemy_level)
    assert found == (33 * known, 258 * known, 5 * known)


def test_what_takes_control_away():
  for name, value in [
    ("FONT_LOADED", 1), ("JOY_IGNORE", 0xFC), ("WALK_COUNTER", 8),
    ("STATUS_FLAGS_5", 0x20), ("STATUS_FLAGS_5", 0x80), ("IN_BATTLE", 1),
  ]:  # fmt: skip
    assert not game_state.from_memory(_memory(**{name: value})).has_control
  assert game_state.from_memory(_memory(STATUS_FLAGS_5=0x40)).has_control


def test_story_flags_leave_out_what_goes_on_and_off():
  memory = _memory()
  for flag in (0, 100, 2559, *ram.TOGGLING_EVENT_FLAGS):
    memory[ram.EVENT_FLAGS + flag // 8] |= 1 << flag % 8
  assert game_state.from_memory(memory).event_flags == 3


def test_many_rows_decode_as_each_alone():
  rng = np.random.default_rng(1)
  rows = rng.integers(0, 256, (50, ram.RAM_BYTES)).astype(np.uint8)
  together = game_state.decode(rows)
  for t in range(50):
    for name, array in game_state.decode(rows[t : t + 1]).items():
      np.testing.assert_array_equal(together[name][t], array[0], err_msg=name)


def test_the_cartridge_can_bring_its_own_map_names():
  memory = _memory(MAP_ID=3)
  assert game_state.from_memory(memory, {3: "Hill"}).map_name == "Hill"
  assert game_state.from_memory(memory, {}).map_name == "map 0x03"


def test_in_play_the_old_signals_of_a_dialog_are_wrong():
  """Tests of 0xD125 and of 0xC4F1 against the box on the screen itself."""
  rom = roms.resolve(None)
  policy = policies.make_policy("demonstrator:eps=0.4", rom)
  seen = {"ours": [], "last box": [], "tile": [], "truth": []}
  with emulator.Emulator(rom) as game:
    for seed in range(3):
      policy.reset(np.random.default_rng(seed))
      game.reset(seed, None, 60)
      for _ in range(250):
        game.step(policy.act(game.memory))
        state = game_state.from_memory(game.memory)
        if not state.game_running or state.in_battle or state.hall_of_fame:
          continue
        frame = frame_codec.unpack(game.frame())
        seen["truth"].append(_shows_a_box(frame))
        seen["ours"].append(state.dialog_open)
        seen["last box"].append(game.memory[ram.TEXT_BOX_ID] != 0)
        seen["tile"].append(game.memory[0xC4F1] != 0)
  found = {name: np.array(values) for name, values in seen.items()}
  truth = found.pop("truth")
  assert truth.sum() > 10 and (~truth).sum() > 50
  right = {name: (said == truth).mean() for name, said in found.items()}
  assert right["ours"] > 0.99
  # Most of the time they see a dialog where there is none.
  for name in ("last box", "tile"):
    assert right[name] < 0.6, right
    assert found[name][~truth].mean() > 0.5, right


def _shows_a_box(frame):
  """Whether the lower third is a bordered, mostly blank box; from pixels."""
  blank = (frame[104:136, 8:152] == frame[104, 8]).mean()
  left, right = frame[104:136, 0:8], frame[104:136, 152:160]
  border = (left == left[0]).all() and (right == right[0]).all()
  return bool(border and blank > 0.5 and (frame[104, 8:152] == 0).all())


def test_the_screen_as_colours():
  rom = roms.resolve(None)
  with emulator.Emulator(rom) as game:
    game.reset()
    game.step(specs.PASS)
    screen = game_state.screen_capture(game._pyboy)
    again = frame_codec.unpack(game.frame())
    game.step(specs.PASS)
  assert (screen.shape, screen.dtype) == ((144, 160, 3), np.uint8)
  # A copy in colours of the same four shades, from light to dark.
  np.testing.assert_array_equal(3 - (screen[..., 0] >> 6), again)
  assert (screen == screen[..., :1]).all() and len(np.unique(screen)) > 1


def test_a_screen_that_was_never_drawn_is_refused():
  class Dark:
    screen = type("Screen", (), {"ndarray": np.zeros((144, 160, 4), np.uint8)})

  with pytest.raises(ValueError, match="nothing drawn yet"):
    game_state.screen_capture(Dark())
