import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import emulator as emulator_lib
from data_tools.game import game_state
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from pokedreamer_jax import specs


@pytest.fixture(scope="module")
def rom():
  return roms.resolve(cartridge.CHAPTER_ONE)


@pytest.fixture(scope="module")
def game(rom):
  with emulator_lib.Emulator(rom) as emulator:
    yield emulator


def _play(game, actions):
  """Frames and memory after each action."""
  frames, rows = [game.frame()], [game.ram().copy()]
  for action in actions:
    game.step(action)
    frames.append(game.frame())
    rows.append(game.ram().copy())
  return np.stack(frames), np.stack(rows)


def _actions(count, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, specs.NUM_ACTIONS, count).tolist()


def _walking_state(game):
  """A saved state in which a game runs."""
  game.reset(0)
  for _ in range(200):
    game.step(specs.ACTIONS.index("start"))
    game.step(specs.ACTIONS.index("a"))
    if game_state.from_memory(game.memory).has_control:
      return game.save_state()
  raise AssertionError("the game does not begin")


def test_a_used_emulator_plays_like_a_new_one(rom, game):
  actions = _actions(150)
  game.reset(5, jitter_frames=60)
  frames, rows = _play(game, actions)
  assert len(np.unique(frames, axis=0)) > 5
  game.reset(5, jitter_frames=60)
  with emulator_lib.Emulator(rom) as other:
    other.reset(5, jitter_frames=60)
    for emulator in (game, other):
      again = _play(emulator, actions)
      np.testing.assert_array_equal(again[0], frames)
      np.testing.assert_array_equal(again[1], rows)


def test_drawing_only_the_last_frame_of_a_step_changes_nothing(rom, game):
  actions = _actions(100, seed=2)
  count = game.reset(7, jitter_frames=60)
  frames, _ = _play(game, actions)
  with emulator_lib.Emulator(rom) as other:
    other.replay_reset(0)
    for _ in range(count):
      other._pyboy.tick(1, True)
    for action, frame in zip(actions, frames, strict=False):
      np.testing.assert_array_equal(other.frame(), frame)
      for t in range(specs.STEP_FRAMES):
        held = action != specs.PASS and t < specs.PRESS_FRAMES
        button = specs.ACTIONS[action] if action != specs.PASS else "a"
        if held:
          other._pyboy.button_press(button)
        else:
          other._pyboy.button_release(button)
        other._pyboy.tick(1, True)


def test_the_jitter_is_drawn_from_the_seed_and_can_be_replayed(game):
  drawn = [game.reset(seed, jitter_frames=9) for seed in range(60)]
  assert set(drawn) == set(range(10))
  state = _walking_state(game)
  count = game.reset(3, state, jitter_frames=60)
  expected = _play(game, _actions(50))
  game.replay_reset(count, state)
  for left, right in zip(_play(game, _actions(50)), expected, strict=True):
    np.testing.assert_array_equal(left, right)


def test_a_button_held_in_a_saved_state_is_released(game):
  state = _walking_state(game)
  game.reset(0, state)
  free = _play(game, [specs.PASS] * 30)[0]
  game.reset(0, state)
  for button in ("down", "left", "right", "up", "start"):
    game._pyboy.button_press(button)
  held = game.save_state()
  game.reset(0, held)
  np.testing.assert_array_equal(_play(game, [specs.PASS] * 30)[0], free)


def test_one_action_moves_at_most_one_tile(game):
  state = _walking_state(game)
  moved = set()
  for seed in range(4):
    game.reset(seed, state, jitter_frames=20)
    _, rows = _play(game, _actions(60, seed))
    fields = game_state.decode(rows)
    same_map = fields["map_id"][1:] == fields["map_id"][:-1]
    distance = sum(
      abs(np.diff(fields[axis].astype(int))) for axis in ("x", "y")
    )
    moved |= set(distance[same_map].tolist())
  assert moved == {0, 1}


def test_frames_are_new_arrays_of_four_shades(game):
  game.reset(0)
  frames, _ = _play(game, _actions(3))
  assert frames.dtype == np.uint8 and frames.shape == (4, 144, 40)
  first = game.frame()
  before = first.copy()
  game.reset(1)
  _play(game, _actions(30, 1))
  np.testing.assert_array_equal(first, before)


def test_the_copied_ranges_are_the_memory(game):
  game.reset(0, _walking_state(game))
  row = game.ram()
  for start, length in ram.RANGES:
    first = ram.column(start)
    copied = row[first : first + length].tolist()
    assert copied == list(game.memory[start : start + length])


def test_light_is_that_of_the_frame_that_is_seen():
  """The great vale fades through a door; its register is a frame ahead."""
  state = emulator_lib.read_save_state("great_vale/home")
  out = [specs.ACTIONS.index(name) for name in ("left", *["down"] * 4)]
  seen, ahead = [], 0
  with emulator_lib.Emulator(roms.resolve("great_vale")) as game:
    for wait in range(24):
      game.replay_reset(wait, state)
      for action in (*out, specs.PASS):
        game.step(action)
        row = game.ram()[None].copy()
        shade = game_state.decode(row)["shade"][0]
        seen.append((specs.SHADES[shade], _lightest(game.frame())))
        ahead += row[0, ram.column(ram.PALETTE)] != game.memory[ram.PALETTE]
  dark = [(darker, lightest) for darker, lightest in seen if darker]
  assert len(set(dark)) > 1 and ahead
  # Sprites may be lit a frame longer.
  assert np.mean([darker == lightest for darker, lightest in dark]) > 0.7
  assert not any(lightest for darker, lightest in seen if not darker)


def _lightest(frame):
  return min(int((frame >> bits & 3).min()) for bits in (0, 2, 4, 6))


def test_states_that_do_not_fit_are_refused(game):
  state = game.save_state()
  for bad in (b"x", state[: len(state) // 2], bytes([255]) * 1000):
    with pytest.raises(ValueError, match="does not fit"):
      game.reset(0, bad)
  game.reset(0, state)  # and the emulator goes on


def test_a_state_file_that_is_missing_is_named(tmp_path):
  assert emulator_lib.read_save_state("") is None
  with pytest.raises(ValueError, match=r"absent\.state: No such file"):
    emulator_lib.read_save_state(tmp_path / "absent.state")


def test_an_unknown_game_gives_frames_and_no_memory(tmp_path, rom):
  data = bytearray(rom.read())
  data[0x7FF0] ^= 1
  data[0x14E:0x150] = roms.global_checksum(data)
  path = tmp_path / "patched.gb"
  path.write_bytes(data)
  with emulator_lib.Emulator(roms.resolve(path)) as game:
    game.reset(0)
    frames, rows = _play(game, _actions(40))
  assert len(np.unique(frames, axis=0)) > 1
  assert not rows.any()
  assert not any(array.any() for array in game_state.decode(rows).values())


def test_nothing_is_written_beside_the_rom(tmp_path, rom):
  path = tmp_path / "copy.gb"
  path.write_bytes(rom.read())
  with emulator_lib.Emulator(roms.resolve(path)) as game:
    game.reset(0)
    _play(game, _actions(5))
  assert list(tmp_path.iterdir()) == [path]


def test_a_file_too_large_for_a_state_is_refused_unread(tmp_path):
  path = tmp_path / "large.state"
  with open(path, "wb") as file:
    file.truncate(1 << 40)  # a hole: takes no disk
  with pytest.raises(ValueError, match=r"large\.state: larger than 4 MiB"):
    emulator_lib.read_save_state(path)
