"""Models that come with the package are what their cards say."""

import pytest

from experiments.runs import exporting
from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.runs import shipped
from pokedreamer_jax import specs
from pokedreamer_jax.interop import model_folders

_MOST_BYTES = 8 << 20

each = pytest.mark.parametrize(
  "name",
  shipped.names()
  or [
    pytest.param("", marks=pytest.mark.skip("no model comes with the package"))
  ],
)


def test_every_folder_is_a_model():
  found = {p.name for p in shipped.FOLDER.iterdir() if p.is_dir()}
  assert found - {"__pycache__"} == set(shipped.names())


@each
def test_a_model_is_small_whole_and_documented(name):
  folder = shipped.find(name)
  assert (folder / model_folders.ARRAYS).stat().st_size <= _MOST_BYTES
  stage = run_directory.read_stage(name)
  for item in exporting.ITEMS[stage]:
    inputs.load_item(name, item)
  card = (folder / model_folders.CARD).read_text(encoding="utf-8")
  assert "python -m experiments.export_model --checkpoint=" in card
  assert "/home/" not in card and "/tmp/" not in card
  assert "Nothing yet" not in card
  sha256 = model_folders.about(folder)["sha256"]
  assert sha256 in card
  assert exporting.read_results(name)


@each
@pytest.mark.slow
def test_a_policy_plays_as_its_card_says(name):
  """A few of the episodes that were measured, in the same emulator."""
  from data_tools.game import roms
  from experiments.playing import play_episodes

  measured = [m for m in exporting.read_results(name) if m["what"] == "play"]
  if not measured:
    pytest.skip(f"{name}: play was not measured")
  result, player = measured[0]["result"], measured[0]["player"]
  agent = inputs.load_player(name)
  (sha1,) = run_directory.read_config(name)["roms"]
  assert result["rom"]["sha1"] == sha1
  setting = play_episodes.Setting(
    rom=next(
      rom
      for rom in map(roms.resolve, roms.CARTRIDGES)
      if rom.sha1 == result["rom"]["sha1"]
    ),
    seeds=tuple(result["seeds"][:16]),
    length=result["episode_length"],
    jitter_frames=agent.config.collect.jitter_frames,
    save_state=None,
  )
  played = play_episodes.play_learned(
    agent, setting, measured[0]["seed"], result["greedy"]
  )
  weights = specs.REWARD_WEIGHTS["published"]
  report = play_episodes.report({player: played}, weights, 2000)
  found = report["policies"][player]["with_badge"]
  said = result["policies"][player]["with_badge"]
  # Intervals of both overlap: chance differs between machines.
  assert found["high"] >= said["low"] and found["low"] <= said["high"]
