"""Small models with every part that a page dreams, exported for the tests."""

import dataclasses
import json
import pathlib
import shutil
import subprocess

import jax
import numpy as np
import pytest

from experiments.web import folder as folder_lib
from experiments.web import packing
from experiments.web import starts as starts_lib
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import model as world_model
from tests.pokedreamer_jax import fakes

_HERE = pathlib.Path(__file__).parent
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node")

TOKENS = (
  "battle:4 dialog:2 map:4 y:12 x:12 facing:4 shade:7 scroll_y:16 scroll_x:16 "
  "badges:4 active_max_hp:64 active_hp:40 enemy_max_hp:40 enemy_hp:40 text:6 "
  "tile_clock:168 figure_clock:62"
)
FEW_TOKENS = "battle:4 map:4 y:12 x:12 badges:4 text:6"
_ATLAS = ("world_model.atlas=counted", "world_model.atlas_cells=1024")
WHOLE = (
  *_ATLAS,
  f"world_model.tokens={TOKENS}",
  "world_model.relative_tokens=true",
  "world_model.packed_chain=true",
  "world_model.hp_bars=true",
  "world_model.block_mix=true",
)
PLAIN = (
  *_ATLAS,
  f"world_model.tokens={FEW_TOKENS}",
  "world_model.atlas_around=false",
  "world_model.atlas_copies=false",
)
CHAINED = (
  *WHOLE,
  "world_model.atlas_boxes=40",
  "world_model.tokens="
  + TOKENS.replace("_clock", "_look")
  .replace("text:6", "enemy_slide:20 text:6 text2:5 letters:4 text_wait:9")
  .replace("facing:4", "facing:4 arriving:2"),
  "world_model.unseen_tokens=enemy_hp enemy_max_hp",
  "world_model.chain_changes=true",
  "world_model.clock_sets=true",
)
NAMES = folder_lib.Names("small@1", {0: "home"}, {1: "</script>"})


def model(overrides=WHOLE):
  """A configuration, and parameters that are not what training began with."""
  cfg = fakes.config(*overrides).world_model
  params = dict(fakes.params(cfg, 0.1))
  params["atlas"] = atlas_lib.leaves(_atlas(cfg))
  return cfg, packing.rounded(jax.device_get(params))


def _atlas(cfg):
  """Two thirds of the pages of all maps, an eighth of the tiles unknown."""
  rng = np.random.default_rng(7)
  blank = jax.tree.map(np.array, atlas_lib.empty(cfg))
  pages = blank.pages.reshape(-1)
  kept = rng.permutation(len(pages))[: 2 * len(pages) // 3]
  kept = kept[: cfg.atlas_cells // atlas_lib.PAGE_CELLS - 2]
  pages[kept] = 1 + np.arange(len(kept))
  tiles = rng.integers(cfg.tile_vocab, size=blank.tiles.shape)
  tiles[rng.random(tiles.shape) < 0.125] = cfg.tile_vocab
  tiles[0] = cfg.tile_vocab
  looks = rng.integers(cfg.tile_vocab, size=blank.looks.shape)
  looks[-1] = cfg.tile_vocab
  made = dataclasses.replace(
    blank, tiles=tiles.astype(np.int32), looks=looks.astype(np.int32)
  )
  if not cfg.num_boxes:
    return made
  # Of some texts nothing is known, of the others nearly all of the box.
  texts = blank.texts.copy()
  texts[:36] = 1 + np.sort(rng.permutation(100)[:36])
  boxes = rng.integers(cfg.tile_vocab, size=blank.boxes.shape)
  boxes[rng.random(boxes.shape) < 0.125] = cfg.tile_vocab
  return dataclasses.replace(made, texts=texts, boxes=boxes.astype(np.uint16))


def starts(cfg, count=3):
  """Any states."""
  rng = np.random.default_rng(3)
  sizes = [*cfg.token_sizes.values()]
  tokens = rng.integers(sizes, size=(count, len(sizes)))
  for name, value in (("active_hp", 1), ("active_max_hp", 60)):
    if name in cfg.token_sizes:  # the bar's last pixel
      tokens[0, [*cfg.token_sizes].index(name)] = value
  return [
    starts_lib.Start(
      f"start {i} <&>",
      i,
      np.tanh(rng.normal(size=cfg.deter)).astype(np.float32),
      rng.integers(cfg.classes, size=cfg.stoch),
      tokens[i],
    )
    for i in range(count)
  ]


def write(out, overrides=WHOLE):
  """A folder, and what it was made of."""
  cfg, params = model(overrides)
  first = starts(cfg)
  folder_lib.write(out, cfg, params, first, NAMES)
  return cfg, params, first


def dream(out, actions, logits=0, luck=None):
  """What the folder's scripts dream under node.

  Args:
    out: the folder.
    actions: `[N, L]`.
    logits: first steps of which logits are told.
    luck: None takes what is most likely.
  """
  asked = pathlib.Path(out).with_suffix(".json")
  asked.write_text(
    json.dumps({"actions": actions.tolist(), "logits": logits, "luck": luck})
  )
  done = subprocess.run(
    ["node", _HERE / "run_dream.mjs", out, asked],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


def screens(folder, asked):
  """Screens `[N][360]` that the map's script puts together under node.

  Args:
    folder: for a file.
    asked: `words` of the dictionary, the `window`'s tiles, and `shifts`.
  """
  path = folder / "screens.json"
  path.write_text(json.dumps(asked))
  page = pathlib.Path(folder_lib.__file__).parent / "page" / "atlas.js"
  script = (
    "const fs = require('fs'); const vm = require('vm');"
    "const [page, path] = process.argv.slice(1);"
    "vm.runInThisContext(fs.readFileSync(page, 'utf8'));"
    "const { words, window, shifts } = JSON.parse(fs.readFileSync(path));"
    "const arrays = { 'atlas.tiles': {}, 'tiles.words': { values: words } };"
    "const atlas = new PokeDreamer.Atlas({ vocab: words.length / 4 }, arrays);"
    "const found = shifts.map((at) => [...atlas.screen(window, ...at)]);"
    "console.log(JSON.stringify(found));"
  )
  done = subprocess.run(
    ["node", "-e", script, page, path], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


def standing(folder, asked):
  """Where screens stand, `[N][2]`, as the map's script says under node.

  Args:
    folder: for a file.
    asked: both registers, the step ahead or None, and whether one arrives.
  """
  path = folder / "standing.json"
  path.write_text(json.dumps(asked))
  page = pathlib.Path(folder_lib.__file__).parent / "page" / "atlas.js"
  script = (
    "const fs = require('fs'); const vm = require('vm');"
    "const [page, path] = process.argv.slice(1);"
    "vm.runInThisContext(fs.readFileSync(page, 'utf8'));"
    "const asked = JSON.parse(fs.readFileSync(path));"
    "console.log(JSON.stringify(asked.map((a) => PokeDreamer.standing(...a))));"
  )
  done = subprocess.run(
    ["node", "-e", script, page, path], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


def table(params):
  """The dictionary."""
  return world_model.tile_table(params)
