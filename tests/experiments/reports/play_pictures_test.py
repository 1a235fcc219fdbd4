"""Where players stood, drawn on the maps; the best and worst as clips."""

import dataclasses

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.cartridge import tables as cartridge_tables
from data_tools.game import frame_codec
from data_tools.game import roms
from experiments.playing import play_episodes
from experiments.playing import play_traces
from experiments.reports import play_films
from experiments.reports import play_pictures
from experiments.reports import shelves
from experiments.reports import video
from experiments.reports import visit_pictures
from pokedreamer_jax import specs
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib

_ROM = roms.resolve(cartridge.CHAPTER_ONE)
_WEIGHTS = specs.REWARD_WEIGHTS["published"]


def _visits(*cells):
  """Of (map, y, x, rows)."""
  cells = np.array(cells).reshape(-1, 4)
  return play_traces.Visits(cells[:, :3].astype(np.uint8), cells[:, 3])


def _shown(image, colour):
  """Pixels of `image` that have a colour over one of the four shades."""
  greys = frame_codec.GREY_LEVELS[:, None].repeat(3, axis=1)
  share = visit_pictures._TINT
  looks = np.rint(share * np.array(colour) + (1 - share) * greys)
  return (image[:, :, None] == looks).all(-1).any(-1)


def _colour(label):
  return next(c for _, name, c in visit_pictures.SCALE if name == label)


def _legend(image):
  """`image` without its legend."""
  return image[shelves._TOP :]


def test_a_cell_has_the_colour_of_its_rows_and_all_have_the_same_maps():
  tables = cartridge_tables.of_rom(_ROM.sha1)
  home, town = tables.places["home"].id, tables.places["town"].id
  visits = {
    "one": _visits((home, 2, 3, 1), (home, 3, 3, 10), (town, 5, 5, 11)),
    "other": _visits((town, 5, 5, 900), (town, 99, 99, 5)),
  }
  image = np.asarray(visit_pictures.draw(tables, visits, "title"))
  assert image.shape[1] == shelves.WIDTH
  below = _legend(image)
  # Cells of 16 pixels; half of the page for each player.
  for label, cells in (("1", 1), ("4-10", 1), ("11-30", 1), ("2-3", 0)):
    where = _shown(below, _colour(label))
    assert where[:, : shelves.WIDTH // 2].sum() == 256 * cells, label
    assert not where[:, shelves.WIDTH // 2 :].any(), label
  much = np.argwhere(_shown(below, _colour("more")))
  some = np.argwhere(_shown(below, _colour("11-30")))
  assert len(much) == 256 and much[:, 1].min() > shelves.WIDTH // 2
  # The same cell of the same map, in another panel.
  assert much[0, 0] == some[0, 0] and much[0, 1] > some[0, 1] + 400
  # In home a row and a column are what they are: the cell below.
  first, second = (_shown(below, _colour(k)) for k in ("1", "4-10"))
  down = np.argwhere(second)[0] - np.argwhere(first)[0]
  assert down.tolist() == [16, 0]
  # Maps on which nobody stood are left out: all others are of the same size.
  narrow = {"one": _visits((home, 2, 3, 1))}
  assert visit_pictures.draw(tables, narrow, "title").height < 220


def test_what_would_be_large_is_drawn_smaller(monkeypatch):
  tables = cartridge_tables.of_rom(_ROM.sha1)
  everywhere = _visits(*((p.id, 1, 1, 5) for p in tables.places.values()))
  visits = {str(number): everywhere for number in range(3)}
  pixels = {}
  for most in (10**9, 200_000, 1000):
    monkeypatch.setattr(visit_pictures, "_MOST_PIXELS", most)
    image = np.asarray(visit_pictures.draw(tables, visits, "title"))
    assert image.shape[1] == shelves.WIDTH
    pixels[most] = _shown(_legend(image), _colour("4-10")).sum()
  cells = 3 * len(tables.places)
  assert pixels[10**9] == 256 * cells
  # Smaller pixels mix shades: of that colour are those of one shade alone.
  assert 0 < pixels[1000] <= 16 * cells < pixels[200_000] <= 64 * cells


class _Run:
  """Where the log lines go, and the pictures."""

  def __init__(self, path):
    self.path, self.lines = path, []

  def log(self, text):
    self.lines.append(text)


@pytest.fixture(scope="module")
def play():
  """Two short episodes in the emulator, as they are measured."""
  setting = play_episodes.Setting(
    rom=_ROM, seeds=(5, 6), length=40, jitter_frames=30, workers=1
  )
  return setting, play_episodes.play_scripted("demonstrator:eps=0.3", setting)


def test_of_a_game_without_tables_one_line_says_so(tmp_path):
  setting, run = play_episodes.Setting(_ROM, (1,), 9), _Run(tmp_path)
  other = dataclasses.replace(_ROM, sha1="0" * 40, name="other game")
  setting = dataclasses.replace(setting, rom=other)
  made = play_pictures.make(run, setting, {}, [], "all")
  assert made == {"visits": None, "paths": None, "videos": {}}
  (line,) = run.lines
  assert "other game has no table of maps" in line
  assert not list(tmp_path.iterdir())


def test_paths_lie_on_what_the_world_model_remembers_where_it_does(
  play, tmp_path
):
  setting, played = play
  run, asked = _Run(tmp_path), []
  blank = np.zeros((1, 5, 6), np.int32)
  nothing = (
    atlas_lib.Atlas(
      blank, np.ones((64, 4), np.int32), np.zeros((2, 1), np.int32)
    ),
    tiles.TileTable(words=np.zeros((1, 4), np.uint32), hashes=None),
  )

  def memory(name):
    asked.append(name)
    return nothing

  everybody = {"random": played, "policy": played}
  shared = (run, setting, everybody)
  paths = play_pictures._draw_paths(*shared, ["policy"], memory)
  assert asked == ["policy"] and paths["of"] == "policy"
  assert paths["unknown"] > 10  # of an empty atlas every cell
  of_atlas = (tmp_path / "paths.png").read_bytes()
  paths = play_pictures._draw_paths(*shared, ["policy"], lambda name: None)
  assert paths["of"] is None and paths["unknown"] == 0
  assert (tmp_path / "paths.png").read_bytes() != of_atlas
  # Scripted players remember nothing, and nobody asks them.
  asked.clear()
  paths = play_pictures._draw_paths(*shared, [], memory)
  assert asked == [] and paths["of"] is None


def test_who_is_filmed():
  learned = ["clone", "policy_scratch", "policy"]
  assert play_pictures._filmed(learned, "all") == learned
  assert play_pictures._filmed(learned, "policy") == ["policy"]
  assert play_pictures._filmed(["clone"], "policy") == []
  assert play_pictures._filmed(learned, "off") == []


def test_the_best_and_the_worst_are_played_again(play, tmp_path):
  setting, played = play
  run = _Run(tmp_path)
  made = play_pictures.make(
    run, setting, {"a/b": played, "c": played}, ["a/b"], "all"
  )
  assert not run.lines
  assert (tmp_path / made["visits"]).stat().st_size > 1000
  (films,) = made["videos"].values()
  best, worst = films["best"], films["worst"]
  returns = play_episodes.measure(played, _WEIGHTS)["return"]
  assert {best["episode"], worst["episode"]} == {0, 1}
  assert best["return"] == max(returns)
  assert best["seed"] == setting.seeds[best["episode"]]
  for film in films.values():
    assert film["file"] in {path.name for path in tmp_path.iterdir()}
    assert (film["steps"], film["every"]) == (40, 1)
    clip = video.read(tmp_path / film["file"])
    assert len(clip) == 40
    # It moves, and ends elsewhere than it began.
    assert np.abs(clip[0].astype(int) - clip[-1]).mean() > 5


def test_long_episodes_are_sped_up_and_no_other_is_shown(
  play, tmp_path, monkeypatch
):
  setting, played = play
  monkeypatch.setattr(play_films, "MOST_FRAMES", 15)
  # What is still too large is shown faster.
  monkeypatch.setattr(play_films, "MOST_BYTES", 1)
  monkeypatch.setattr(play_films, "_FEWEST_FRAMES", 10)
  films = play_films.shoot(played, setting, _WEIGHTS, "x", tmp_path)
  assert films["best"]["every"] == 6
  clip = video.read(tmp_path / "best_x.mp4")
  assert len(clip) == 8  # 0, 6, ... 36 and 39

  actions = np.full_like(played.traces.action, specs.PASS)
  other = dataclasses.replace(
    played, traces=dataclasses.replace(played.traces, action=actions)
  )
  run = _Run(tmp_path / "other")
  made = play_pictures.make(run, setting, {"x": other}, ["x"], "all")
  assert made["videos"] == {}
  assert "No video of x: episode" in run.lines[-1]
  assert "goes elsewhere at step" in run.lines[-1]
  assert not list(run.path.glob("*.mp4"))
