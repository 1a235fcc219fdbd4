"""The linter names what is wrong: each case breaks the vale by hand once."""

import shutil

import pytest

from data_tools.cartridge import lint
from data_tools.cartridge import story
from data_tools.cartridge import tables as source

VALE = source.WORLDS / "great_vale"

# (file, what stands there, what it becomes, words of the problem)
BREAKS = {
  "rows of different lengths": (
    "maps/2_fernby.toml",
    "T..f.....,,........T",
    "T..f.....,,.......T",
    "rows of different lengths",
  ),
  "unknown cell": (
    "maps/26_old_hall.toml",
    "sbggg",
    "s@ggg",
    "no cells ['@']",
  ),
  "border of another tileset": (
    "maps/1_home.toml",
    'border = "K"',
    'border = "T"',
    "no cells ['T']",
  ),
  "warp into a wall": (
    "maps/1_home.toml",
    "arrive = [7, 13]",
    "arrive = [7, 11]",
    "arrives on no floor",
  ),
  "warp without a way back": (
    "maps/1_home.toml",
    "arrive = [7, 13]",
    "arrive = [15, 13]",
    "no way back from fernby",
  ),
  "warp onto a warp": (
    "maps/16_cave_up.toml",
    'to = "route_3"\narrive = [9, 1]',
    'to = "route_3"\narrive = [9, 0]',
    "arrives on another warp",
  ),
  "warp to an unknown map": (
    "maps/1_home.toml",
    'to = "fernby"',
    'to = "farnby"',
    "unknown map farnby",
  ),
  "connection of one side": (
    "maps/25_route_4.toml",
    'west = ["fernby", -6]',
    'west = ["fernby", -5]',
    "connection east: route_4 has",
  ),
  "opening that meets a tree": (
    "maps/25_route_4.toml",
    ",,,,,,,,,,,,,,,S.R",
    "R,,,,,,,,,,,,,,S.R",
    "not at both",
  ),
  "ledge without landing": (
    "maps/25_route_4.toml",
    "R...wwww....www..R",
    "R.o.wwww....www..R",
    "no floor to land on",
  ),
  "person in somebody's place": (
    "maps/2_fernby.toml",
    "at = [12, 10]",
    "at = [6, 6]",
    "shares a cell",
  ),
  "figure that is not drawn": (
    "maps/2_fernby.toml",
    'sprite = "girl"',
    'sprite = "goat"',
    "no figure goat",
  ),
  "unknown role": (
    "maps/5_fern_shop.toml",
    'role = "shop"',
    'role = "baker"',
    "role baker",
  ),
  "sight through a wall": (
    "maps/14_leaf_gym.toml",
    "sight = 6",
    "sight = 16",
    "line of sight",
  ),
  "healer without respawn": (
    "maps/4_fern_healer.toml",
    "respawn = [3, 2]",
    "",
    "no respawn",
  ),
  "shop without goods": (
    "maps/5_fern_shop.toml",
    'stock = ["LANTERN", "SALVE"]',
    "",
    "sells nothing",
  ),
  "price of nothing": (
    "maps/5_fern_shop.toml",
    'stock = ["LANTERN", "SALVE"]',
    'stock = ["STAR ORE"]',
    "has no price",
  ),
  "shares": (
    "maps/6_route_1.toml",
    "share = 76",
    "share = 75",
    "shares add to 255",
  ),
  "grass without creatures": (
    "maps/10_brookmere.toml",
    "T.f..~~~...,,......T",
    "T.f..~~~...,,..ww..T",
    "without grass, or the reverse",
  ),
  "species without a home": (
    "maps/8_glade.toml",
    'species = "PETALYN"',
    'species = "SPORLET"',
    "species PETALYN: lives nowhere",
  ),
  "species without a picture": (
    "world.toml",
    'name = "GUSTLE"',
    'name = "GUSTLY"',
    "species GUSTLY: has no picture",
  ),
  "long name": (
    "world.toml",
    'name = "WILDGROW"',
    'name = "WILDGROWING"',
    "over 10 letters",
  ),
  "unknown move": (
    "world.toml",
    '["CINDER", 1], ["BARGE", 9], ["FLAREUP", 11]]',
    '["SINGE", 1], ["BARGE", 9], ["FLAREUP", 11]]',
    "move SINGE is unknown",
  ),
  "factor": ("world.toml", "factor = 0.5", "factor = 0.3", "factor 0.3"),
  "leader without a hall": (
    "world.toml",
    'name = "CORAL"\nclass',
    'name = "KORAL"\nclass',
    "trainer KORAL: stands on the maps 0 times",
  ),
  "badge twice": ("world.toml", "badge = 1", "badge = 0", "badges: [0, 0, 2]"),
  "no ending": (
    "world.toml",
    "ends_game = true",
    "ends_game = false",
    "ends with nobody",
  ),
  "text that does not fit": (
    "maps/3_fern_house.toml",
    "TIRED? REST",
    "TIREDTIREDTIREDTIRED? REST",
    "fern_house: BRAM, text",
  ),
  "letter that is not drawn": (
    "maps/3_fern_house.toml",
    "TIRED? REST",
    "Tired? REST",
    "fern_house: BRAM, text",
  ),
  "event of nobody": (
    "maps/23_smithy.toml",
    'sets = "KEY_CUT"',
    "",
    "KEY_CUT: is waited for and set by nobody",
  ),
  "state that never comes": (
    "world.toml",
    'when = "map:old_hall"',
    'when = "map:new_hall"',
    "'map:new_hall' never comes",
  ),
  # These need the story.
  "way that is walled up": (
    "maps/15_route_3.toml",
    "R........,.......R",
    "RRRRRRRRRRRRRRRRRR",
    "story stops after",
  ),
  "door that locks its own key": (
    "maps/18_cairn.toml",
    "[connections]",
    '[[doors]]\nat = [13, 3]\nneeds = "KEY_CUT"\ntext = ["SHUT."]\n\n'
    "[connections]",
    "map smithy: cannot be reached",
  ),
}


@pytest.fixture
def vale(tmp_path):
  return shutil.copytree(VALE, tmp_path / "vale")


def test_the_vale_is_sound_and_large_enough():
  tables = source.read(VALE)
  assert lint.problems(tables) == []
  assert len(tables.places) >= 24
  assert len(tables.entries("species")) >= 16
  assert sum("evolves" in s for s in tables.entries("species")) >= 2
  assert sum("badge" in t for t in tables.entries("trainers")) == 3
  assert len(tables.entries("states")) >= 12


@pytest.mark.parametrize("case", BREAKS)
def test_a_broken_table_is_named(vale, case):
  name, old, new, words = BREAKS[case]
  path = vale / name
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new, 1))
  found = lint.problems(source.read(vale))
  assert any(words in problem for problem in found), found


def test_a_way_down_without_a_way_back_is_named(vale):
  # The road below the ledges no longer leads to the first town.
  for name in ("25_route_4", "2_fernby"):
    path = vale / f"maps/{name}.toml"
    text = path.read_text()
    for line in ('west = ["fernby", -6]\n', 'east = ["route_4", 6]\n'):
      text = text.replace(line, "")
    path.write_text(text)
  found = lint.problems(source.read(vale))
  assert any("dead end at last" in problem for problem in found), found


def test_the_story_takes_its_order_from_badges_and_keys():
  _, stages = story.tell(source.read(VALE))
  outcomes = [stage.outcome for stage in stages]

  def first(words):
    return next(i for i, o in enumerate(outcomes) if words in o)

  order = ("badge 1", "PASS_GIVEN", "ORE_FOUND", "KEY_CUT", "badge 3")
  assert [first(w) for w in order] == sorted(first(w) for w in order)
  assert first("badge 2") < first("the end") == first("badge 3")
  # The guard opens the second half of the world, the key the last hall.
  cells = [stage.cells for stage in stages]
  assert cells[first("PASS_GIVEN") + 1] > cells[first("PASS_GIVEN")] + 500
  assert cells[first("KEY_CUT") + 1] > cells[first("KEY_CUT")] + 50


def test_the_way_back_from_the_city_is_short_and_of_one_direction():
  tables = source.read(VALE)
  told, _ = story.tell(tables)
  top, bottom = ("route_4", 8, 0), ("route_4", 0, 18)
  near = story.reached(tables, told, top)
  assert bottom in near
  steps = dict(story.steps(tables, told, ("route_4", 8, 7)))
  assert steps["down"] == ("route_4", 8, 9)  # over the ledge
  below = {cell for _, cell in story.steps(tables, told, ("route_4", 8, 9))}
  assert ("route_4", 8, 7) not in below and ("route_4", 8, 8) not in below


def test_a_map_without_a_world_is_refused(monkeypatch, capsys):
  monkeypatch.setattr("sys.argv", ["lint", "no_such_world"])
  assert lint.main() == 2
  assert "no_such_world" in capsys.readouterr().out
