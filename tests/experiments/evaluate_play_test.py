"""`evaluate --what=play` of the policy that comes with the package."""

import json
import subprocess
import sys

import numpy as np
import pytest

from experiments.runs import inputs
from experiments.runs import shipped
from pokedreamer_jax.world_model import model as world_model

_NAME = "chapter_one"

pytestmark = pytest.mark.skipif(
  _NAME not in shipped.names(), reason="no model comes with the package"
)


def test_the_map_memory_is_that_of_the_whole_world_model():
  atlas, table = inputs.load_map_memory(_NAME)
  params = inputs.load_agent(_NAME).world_params
  whole = world_model.map_memory(params)
  for name in ("pages", "tiles"):
    np.testing.assert_array_equal(getattr(atlas, name), getattr(whole, name))
  words = world_model.tile_table(params).words
  np.testing.assert_array_equal(table.words, words)


def test_a_policy_is_weighed_by_its_own_objective_and_walks_its_atlas(
  tmp_path,
):
  ended = subprocess.run(
    [
      *(sys.executable, "-m", "experiments.evaluate", "--what=play"),
      *("--player=random", f"--player=policy={_NAME}", "--preset=debug"),
      *("--set=evaluate.episodes=2", "--set=evaluate.play_length=60"),
      *("--set=evaluate.videos=off", f"--workdir={tmp_path}"),
    ],
    capture_output=True,
    text=True,
  )
  assert ended.returncode == 0, ended.stderr
  result = json.loads((tmp_path / "result.json").read_text())
  assert result["own"]["progress"]["of"] == ["policy"]
  assert set(result["own"]["progress"]["returns"]) == {"random", "policy"}
  assert result["paths"]["of"] == "policy"
  assert (tmp_path / "paths.png").exists()
  table = (tmp_path / "table.txt").read_text()
  assert table.index("return [95 %]") < table.index("by progress")
