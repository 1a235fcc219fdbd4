"""What `mesh_test.py` runs in processes of its own, which have many devices.

    python -m tests.pokedreamer_jax.training.mesh_programs NAME ARGUMENT...

Each program prints one line of JSON.
"""

import functools
import json
import re
import sys
from unittest import mock

import chex
import jax
import numpy as np

from data_tools.records import generations
from data_tools.records import loader
from pokedreamer_jax import checkpoints
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.training import mesh as meshes
from pokedreamer_jax.training import world_model as training
from pokedreamer_jax.world_model import model as world_model
from tests.pokedreamer_jax import fakes

UPDATES = 4
MIN_SIZE = 512  # the models here are small
_ROWS = 6
_SEED = 3


# The shape of what a decoder makes of one row, by kind of model: the tile
# dictionary, pixels, family v2, and the dictionary with an atlas.
KINDS = {
  **{"dictionary": "360,25", "pixels": "360,4,64", "v2": "144,160,3"},
  "atlas": "360,25",
}


def config(mesh, kind="dictionary"):
  # Few updates at full rate; five rows to decode cannot be shared evenly.
  shared = [
    f"train.mesh={mesh}",
    "train.batch_size=8",
    f"train.seq_len={_ROWS}",
    "train.decode_rows=5",
    "train.warmup_steps=0",
    "train.burn_in=1",
  ]
  if kind == "v2":
    return fakes.config_v2(*shared)
  if kind == "atlas":
    return fakes.config(
      *(*shared, "world_model.tokens=battle:4 map:8 y:12 x:12"),
      *("world_model.atlas=counted", "world_model.atlas_cells=4096"),
      *("world_model.relative_tokens=true", "world_model.chain_changes=true"),
      "train.decode_blocks=20",
    )
  codec = [f"world_model.{name}={kind}" for name in ("encoder", "decoder")]
  tokens = "world_model.tokens=map:8 x:12"  # compiles sooner
  return fakes.config(*shared, *codec, tokens)


_make_update = training.make_update


def _traced_once(*args):
  return chex.assert_max_traces(_make_update(*args), n=1)


class Trainer:
  """Updates of one model on one mesh."""

  def __init__(self, mesh_text, kind="dictionary"):
    self.config = config(mesh_text, kind)
    self._decoded = KINDS[kind]
    self.mesh = meshes.make(self.config.train)
    cfg = self.config.world_model
    init = functools.partial(world_model.init, cfg)
    params = jax.jit(init)(jax.random.key(0), fakes.table(cfg.tile_vocab))
    state = training.init_state(self.config.train, params)
    self.state = meshes.place_state(self.mesh, state, MIN_SIZE)
    chex.clear_trace_counter()  # it counts over all trainers of a process
    with mock.patch.object(training, "make_update", _traced_once):
      self.update = meshes.jit_update(
        self.mesh, self.config, self.state, MIN_SIZE
      )

  def run(self, source, start, stop):
    """Losses of the updates `start` to `stop`."""
    losses = []
    for number in range(start, stop):
      self.batch = meshes.place_batch(self.mesh, source[number])
      self.state, metrics = self.update(
        self.state, self.batch, jax.random.key(9)
      )
      losses.append(float(metrics["loss/total"]))
    return losses

  def grow(self):
    """Fills the atlas with random tiles, as a run does that adopts data."""
    rng = np.random.default_rng(0)
    atlas = jax.device_get(self.state.params["atlas"])
    numbers = np.arange(1, 64)
    pages = np.zeros(atlas["pages"].shape, np.int32)
    pages.flat[: len(numbers)] = numbers
    held = rng.integers(0, 24, atlas["tiles"].shape).astype(np.int32)
    atlas |= {"pages": pages, "tiles": held}
    placed = meshes.place_state(self.mesh, atlas, MIN_SIZE)
    self.state = training.TrainState(
      {**self.state.params, "atlas": placed},
      self.state.opt_state,
      self.state.step,
    )

  def validate(self, source):
    """The losses of a batch on parameters as they lie; all rows decoded."""
    measure = jax.jit(training.make_validation(self.config))
    found = measure(self.state.params, source[0])
    return {name: float(value) for name, value in found.items()}

  def decoded(self):
    """Rows that one device decodes or encodes at a time, as compiled."""
    shapes = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=leaf.sharding
      ),
      (self.state, self.batch),
    )
    text = self.update.lower(*shapes, jax.random.key(9)).compile().as_text()
    rows = re.findall(rf"f32\[(\d+),{self._decoded}\]", text)
    return sorted(set(map(int, rows)))

  def items(self):
    state = self.state
    opt = {"opt_state": state.opt_state, "step": state.step}
    return {"params": state.params, "opt": opt}

  def restore(self, directory):
    store = checkpoints.Store(directory)
    items, _ = store.restore(self.items())
    store.close()
    self.state = training.TrainState(
      items["params"], items["opt"]["opt_state"], items["opt"]["step"]
    )


def source(directory, process_index=0, process_count=1):
  """Batches of the records in `directory`."""
  index = loader.EpisodeIndex(generations.freeze(directory), "all")
  return loader.BatchSource(
    index, 8, _ROWS, _SEED, process_index, process_count
  )


def _layout(trainer):
  """Share of the floats that the first device holds, and the largest leaf's."""
  leaves = [x for x in jax.tree.leaves(trainer.state) if x.dtype == np.float32]
  local = sum(leaf.addressable_shards[0].data.size for leaf in leaves)
  moments = {
    str(a.sharding.spec) == str(b.sharding.spec)
    for a, b in zip(
      jax.tree.leaves(training._split(trainer.state.params)[0]),
      jax.tree.leaves(trainer.state.opt_state[1][0].mu),
      strict=True,
    )
  }
  return {
    "held": local / sum(leaf.size for leaf in leaves),
    "moments_lie_with_parameters": moments == {True},
  }


def updates(data_dir, *meshes_text):
  """By mesh, losses and what became of the state that was given."""
  batches = source(data_dir)
  return {text: _updates(batches, text) for text in meshes_text}


def _updates(batches, mesh_text):
  trainer = Trainer(mesh_text)
  before = trainer.state
  spec = jax.tree.map(lambda leaf: leaf.sharding, before)
  losses = trainer.run(batches, 0, UPDATES)
  kept = jax.tree.map(
    lambda leaf, old: leaf.sharding.is_equivalent_to(old, leaf.ndim),
    trainer.state,
    spec,
  )
  return {
    "devices": trainer.mesh.size,
    "losses": losses,
    "decoded": trainer.decoded(),
    "donated": all(leaf.is_deleted() for leaf in jax.tree.leaves(before)),
    "sharding_kept": all(jax.tree.leaves(kept)),
    **_layout(trainer),
  }


def kinds(data_dir, *names):
  """By kind and mesh, losses, and what one device decodes of eight's share."""
  batches = source(data_dir)
  results = {}
  for kind in names:
    for mesh in ("data=1,fsdp=1", "data=2,fsdp=4"):
      trainer = Trainer(mesh, kind)
      results.setdefault(kind, []).append(
        {
          "losses": trainer.run(batches, 0, 2),
          "validated": trainer.validate(batches),
          # Compiled once more for it; of v3 `updates` tells.
          "decoded": trainer.decoded() if kind == "v2" else None,
          **_layout(trainer),
        }
      )
  return results


def grown(data_dir, *meshes_text):
  """By mesh, losses around an atlas that grows, and how it is laid out."""
  batches = source(data_dir)
  results = {}
  for mesh in meshes_text:
    trainer = Trainer(mesh, "atlas")
    before = jax.tree.map(lambda leaf: leaf.sharding, trainer.state.params)
    losses = trainer.run(batches, 0, 2)
    trainer.grow()
    params = trainer.state.params
    losses += trainer.run(batches, 2, UPDATES)
    kept = jax.tree.map(
      lambda leaf, old: leaf.sharding.is_equivalent_to(old, leaf.ndim),
      trainer.state.params,
      before,
    )
    results[mesh] = {
      "losses": losses,
      "donated": all(leaf.is_deleted() for leaf in jax.tree.leaves(params)),
      "sharding_kept": all(jax.tree.leaves(kept)),
      "cut": sorted(
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
        if "fsdp" in leaf.sharding.spec and leaf.shape[0] == 4096
      ),
      **_layout(trainer),
    }
  return results


def restored(data_dir, workdir):
  """Losses where a checkpoint goes from eight devices to one and back."""
  batches, eight, one = source(data_dir), "data=2,fsdp=4", "data=1,fsdp=1"
  trainer = Trainer(eight)
  losses = trainer.run(batches, 0, 1)
  same, held = [], []
  for step, mesh in ((1, one), (2, eight)):
    store = checkpoints.Store(workdir)
    store.save(step, trainer.items(), {})
    store.close()
    saved = jax.device_get(trainer.items())
    trainer = Trainer(mesh)
    trainer.restore(workdir)
    found = jax.device_get(trainer.items())
    same.append(jax.tree.all(jax.tree.map(np.array_equal, saved, found)))
    held.append(_layout(trainer)["held"])
    losses += trainer.run(batches, step, step + 1)
  return {"losses": losses, "same": same, "held": held}


def process(data_dir, address, number, count):
  """One of several processes that train together, each with its own rows."""
  jax.distributed.initialize(address, int(count), int(number))
  trainer = Trainer("data=-1,fsdp=2")
  batches = source(data_dir, int(number), int(count))
  losses = trainer.run(batches, 0, UPDATES)
  params = meshes.local(trainer.mesh, trainer.state.params)
  return {
    "devices": trainer.mesh.size,
    "local_rows": len(batches[0]["action"]),
    "largest": int(meshes.make_largest(trainer.mesh)(5 - int(number))),
    "local": [
      float(sum(np.abs(leaf).sum() for leaf in jax.tree.leaves(params))),
      sorted({len(x.devices()) for x in jax.tree.leaves(params)}),
    ],
    "losses": losses,
    **_layout(trainer),
  }


RED = f"world_model.tokens={world_model_config.POKEMON_RED_TOKENS}"
ATLASES = {  # preset with an atlas -> what is set there
  "tiny": (),
  "vale": ("world_model.atlas_cells=327680", RED),  # that of a large world
}


def lowered():
  """By preset, the accelerators that its update lowers for, and how much is
  cut."""
  results = {}
  for name in presets.PRESETS:
    shared = ["train.mesh=data=-1,fsdp=4", "train.batch_size=16"]
    made = presets.make(name, [*shared, *ATLASES.get(name, ())])
    cfg, mesh = made.world_model, meshes.make(made.train)
    params = jax.eval_shape(
      functools.partial(world_model.init, cfg),
      jax.random.key(0),
      fakes.table(cfg.tile_vocab),
    )
    state = jax.eval_shape(
      functools.partial(training.init_state, made.train), params
    )
    rows = fakes.windows(made.train.batch_size, made.train.seq_len)
    batch = jax.eval_shape(functools.partial(fakes.on_device, rows))
    update = meshes.jit_update(mesh, made, state)
    traced = update.trace(state, batch, jax.random.key(0))
    platforms = ("tpu", "cuda") if name in ATLASES else ("tpu",)
    texts = {
      platform: traced.lower(lowering_platforms=(platform,)).as_text()
      for platform in platforms
    }
    shardings = meshes.state_shardings(mesh, state)
    results[name] = {
      "stablehlo": [p for p, text in texts.items() if "stablehlo" in text],
      "cut": sum("fsdp" in s.spec for s in jax.tree.leaves(shardings)),
    }
  return results


if __name__ == "__main__":
  programs = (updates, kinds, grown, restored, process, lowered)
  program = {f.__name__: f for f in programs}
  print(json.dumps(program[sys.argv[1]](*sys.argv[2:])))
