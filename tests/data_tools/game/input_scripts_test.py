import pytest

from data_tools import cartridge
from data_tools.game import emulator as emulator_lib
from data_tools.game import game_state
from data_tools.game import input_scripts
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


class _Field:
  """Stands in for an emulator: an open field with walls, no text."""

  def __init__(self, walls=()):
    self.memory = bytearray(1 << 16)
    self.memory[ram.STATUS_FLAGS_6] = 1
    self.memory[ram.PLAYER_X] = self.memory[ram.PLAYER_Y] = 10
    self.played = []
    self._walls = walls

  def step(self, action):
    self.played.append(specs.ACTIONS[action])
    dx, dy = {0: (0, 1), 1: (-1, 0), 2: (1, 0), 3: (0, -1)}.get(action, (0, 0))
    x, y = self.memory[ram.PLAYER_X] + dx, self.memory[ram.PLAYER_Y] + dy
    if (x, y) not in self._walls:
      self.memory[ram.PLAYER_X], self.memory[ram.PLAYER_Y] = x, y
      self.memory[ram.PLAYER_X_IN_BLOCK] = x & 1
      self.memory[ram.PLAYER_Y_IN_BLOCK] = y & 1


def _run(rom, text, game, **more):
  input_scripts.run(input_scripts.parse(text, rom), game, **more)


def test_every_command_plays_what_it_says(rom):
  field, actions, saved = _Field(), [], []
  text = """
    # nothing yet
    press a            # once
    press  down   2
    wait 3
    walk left 2
    save here
    press b every 3 until y == 12 and x == 8
    press right until x == 11 within 5
  """
  _run(rom, text, field, save=saved.append, stepped=actions.append)
  assert field.played == [
    "a", "down", "down", "pass", "pass", "pass", "left", "left",
    "right", "right", "right",
  ]  # fmt: skip
  assert [specs.ACTIONS[a] for a in actions] == field.played
  assert saved == ["here"]


def test_presses_come_on_every_nth_step(rom):
  field = _Field()
  _run(rom, "press right every 4 until x == 13", field)
  assert field.played == (["right"] + ["pass"] * 3) * 2 + ["right"]


def test_failures_name_line_and_place(rom):
  field = _Field(walls={(10, 8)})
  with pytest.raises(ValueError, match=r"line 2, 'walk up 5': blocked after 1"):
    _run(rom, "wait 1\nwalk up 5", field)
  with pytest.raises(ValueError, match=r"'until x == 3 within 7': not so") as e:
    _run(rom, "until x == 3 within 7", _Field())
  assert "x 10, y 10" in str(e.value) and len(str(e.value).splitlines()) == 1
  field = _Field()
  with pytest.raises(ValueError, match="not so within 1000 steps"):
    _run(rom, "until x == 3", field)
  assert len(field.played) == 1000


@pytest.mark.parametrize(
  "line, words",
  [
    ("jump", "expected press BUTTON"),
    ("press", "expected press BUTTON"),
    ("press select", "button 'select'"),
    ("press pass", "button 'pass'"),
    ("press a -1", "expected press BUTTON"),
    ("press a 0", "0: expected 1 to"),
    ("wait 1000000", "expected 1 to 100000"),
    ("walk north", "direction 'north'"),
    ("until somewhere", "unknown name 'somewhere'"),
    ("press x until has_control", "button 'x'"),
    ("save a\nsave a", "saves a name twice"),
    ("# only a comment", "no commands"),
  ],
)
def test_malformed_lines_are_named(rom, line, words):
  with pytest.raises(ValueError, match=words) as caught:
    input_scripts.parse(line, rom)
  assert len(str(caught.value).splitlines()) == 1


def test_a_missing_script_names_those_there_are(rom, tmp_path):
  with pytest.raises(ValueError, match=r"absent: No such file.*chapter_one"):
    input_scripts.read("absent", rom)
  (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
  with pytest.raises(ValueError, match="no text"):
    input_scripts.read(str(tmp_path / "binary"), rom)


def test_an_unknown_game_can_be_pressed_but_not_walked(rom):
  other = roms.Rom(rom.path, "0" * 40, roms.UNKNOWN, "OTHER")
  field = _Field()
  _run(other, "press right 3\nuntil 0xD362 == 13", field)
  assert len(field.played) == 3
  with pytest.raises(ValueError, match="walk needs the position"):
    input_scripts.parse("walk up", other)


def test_the_practice_game_begins(rom, game):
  game.reset(0)
  script = input_scripts.read("chapter_one_start", rom)
  actions = []
  input_scripts.run(script, game, stepped=actions.append)
  state = game_state.from_memory(game.memory, rom.map_names)
  assert state.has_control and state.party_size == 1 and actions
  here = (state.x, state.y)
  world = cartridge.world(rom.sha1).maps[state.map_id]
  dx, name = next(
    (d, n) for d, n in ((1, "right"), (-1, "left"))
    if world.walkable[here[1], here[0] + d]
  )  # fmt: skip
  input_scripts.run(input_scripts.parse(f"walk {name}", rom), game)
  after = game_state.from_memory(game.memory, rom.map_names)
  assert (after.x, after.y) == (here[0] + dx, here[1])


class _Intro:
  """The intro of the commercial game as public notes tell it; no code of it.

  A film, a title, a menu, speeches and two menus of names; `b` leaves the
  first menu, and a name that is not ready-made ends in a keyboard.
  """

  def __init__(self, lag):
    self.memory = bytearray(1 << 16)
    self._lag = lag  # steps between a press and what it does
    self._stage, self._left, self._wait = "film", 70, 0
    self.chosen = []

  def _show_menu(self, last, watched):
    self.memory[ram.SCREEN_TILES + 41] = ram.CURSOR_TILE
    self.memory[0xCC28], self.memory[0xCC29] = last, watched
    self.memory[ram.MENU_ITEM] = 0

  def _enter(self, stage, left=0):
    self._stage, self._left, self._wait = stage, left, self._lag
    self.memory[ram.SCREEN_TILES + 41] = 0x7F

  def step(self, action):
    if self._wait:
      self._wait -= 1
      if not self._wait:
        if self._stage == "menu":
          self._show_menu(1, 0x0B)
        elif self._stage in ("name", "rival"):
          self._show_menu(3, 0x01)
        elif self._stage == "bedroom":
          self.memory[ram.STATUS_FLAGS_6] = 1
          self.memory[ram.MAP_ID] = 0x26
      return
    button = specs.ACTIONS[action]
    getattr(self, "_" + self._stage)(button)

  def _film(self, button):
    self._left -= 1
    if button in ("a", "b", "start") or not self._left:
      self._enter("title")

  def _title(self, button):
    if button in ("a", "start"):
      self._enter("menu")

  def _menu(self, button):
    if button == "b":
      self._enter("title")
    elif button in ("a", "start"):
      self._enter("speech", 25)

  def _choose(self, button, then):
    item = self.memory[ram.MENU_ITEM]
    if button == "down":
      self.memory[ram.MENU_ITEM] = min(item + 1, self.memory[0xCC28])
    elif button == "a":
      self.chosen.append(item)
      self._enter(*(then if item else ("keyboard",)))

  def _keyboard(self, button):
    pass

  def _speech(self, button, then=("name",)):
    if button in ("a", "b"):
      self._left -= 1
      self._wait = self._lag
    if not self._left:
      self._enter(*then)

  def _name(self, button):
    self._choose(button, ("speech_2", 9))

  def _speech_2(self, button):
    self._speech(button, ("rival",))

  def _rival(self, button):
    self._choose(button, ("speech_3", 6))

  def _speech_3(self, button):
    self._speech(button, ("bedroom",))

  def _bedroom(self, button):
    pass


@pytest.mark.parametrize("lag", [1, 2, 3, 9])
def test_the_script_for_the_commercial_game_fits_its_notes(rom, lag):
  red = roms.Rom(rom.path, "0" * 40, roms.POKEMON_RED, "Red")
  script = input_scripts.read("pokemon_red_intro", red)
  intro = _Intro(lag)
  input_scripts.run(script, intro)
  state = game_state.from_memory(intro.memory)
  assert intro.chosen == [1, 1]  # ready-made names
  assert state.map_name == "Red's House 2F" and state.has_control


def test_it_fails_on_another_game_and_says_where(rom, game):
  game.reset(0)
  script = input_scripts.read("pokemon_red_intro", rom)
  with pytest.raises(ValueError, match=r"pokemon_red_intro, line \d+"):
    input_scripts.run(script, game)
