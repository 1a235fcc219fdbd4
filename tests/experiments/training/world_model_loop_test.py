"""The trainer's loop, with its update, data and disk replaced."""

import itertools
import pathlib
import types

import jax.numpy as jnp
import pytest

from experiments.runs import run_directory
from experiments.training import world_model_loop
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.training import world_model as training
from pokedreamer_jax.world_model import atlas as atlas_lib

_LOSSES = ("loss/total", "loss/image", "loss/kl", "loss/reward", "grad/norm")


class _Run(run_directory.Run):
  """A run that writes nothing."""

  def __init__(self):
    self.path = pathlib.Path("nowhere")
    self.stage = "world_model"
    self._signal = None

  def metrics(self, step, values):
    pass

  def truncate_metrics(self, step):
    pass


class _Loop:
  """A trainer whose parts tell what was asked of them."""

  def __init__(self, monkeypatch, config: config_lib.Config, start: int = 0):
    self.told: list[tuple[int, str]] = []
    self.stop_at = self.nan_from = -1
    trainer = world_model_loop.Trainer.__new__(world_model_loop.Trainer)
    self.run = _Run()
    store = types.SimpleNamespace(
      save=lambda step, items, loop, validated: self.told.append(
        (step, "saved validated" if validated else "saved")
      ),
      wait=lambda: None,
      close=lambda: None,
    )
    parts = {
      **{"_config": config, "_run": self.run, "_store": store},
      **{"_step": start, "_epoch": 7, "_profile_steps": 0, "_mesh": None},
      "_group": types.SimpleNamespace(count=1),
      "_table": None,
      "_state": types.SimpleNamespace(params={}, opt_state={}, step=0),
      "_data": types.SimpleNamespace(
        batches=lambda *_: itertools.repeat({}), fingerprint=lambda _: ""
      ),
      "_validate": self._validate,
    }
    for name, part in parts.items():
      setattr(trainer, name, part)
    self.trainer = trainer
    meshes = types.SimpleNamespace(
      jit_update=lambda *_: self._update, place_batch=lambda mesh, batch: batch
    )
    monkeypatch.setattr(world_model_loop, "meshes", meshes)

  def _validate(self, bar):
    self.told.append((self.trainer._step, "validated"))
    return {"val/loss/total": 1.0}

  def _update(self, state, batch, key):
    step = self.trainer._step + 1
    if step == self.stop_at:
      self.run._signal = 15
    metrics = dict.fromkeys(_LOSSES, jnp.ones(()))
    if 0 <= self.nan_from <= step:
      # One loss is bad at first, and everything from the next update on.
      first = ("loss/reward", "loss/total")
      bad = first if step == self.nan_from else _LOSSES
      metrics |= dict.fromkeys(bad, jnp.full((), jnp.nan))
    return state, metrics


def _config(*overrides: str) -> config_lib.Config:
  return presets.make(
    "debug",
    ["train.steps=21", "train.log_every=5", "train.eval_every=7", *overrides],
  )


def test_a_run_that_is_stopped_validates_where_the_undisturbed_one_does(
  monkeypatch,
):
  config = _config("train.save_every=100")
  undisturbed = _Loop(monkeypatch, config)
  undisturbed.trainer.train()
  stopped = _Loop(monkeypatch, config)
  stopped.stop_at = 7
  with pytest.raises(run_directory.Stopped, match="saved at update 7 of 21"):
    stopped.trainer.train()
  resumed = _Loop(monkeypatch, config, start=7)
  resumed.trainer.train()
  assert stopped.told + resumed.told == undisturbed.told
  assert [step for step, what in undisturbed.told if what == "validated"] == [
    *(7, 14, 21)
  ]


def test_the_first_bad_update_and_its_loss_are_named(monkeypatch):
  loop = _Loop(monkeypatch, _config("train.save_every=4"))
  loop.nan_from = 17  # looked at after update 20
  with pytest.raises(run_directory.Failed) as failed:
    loop.trainer.train()
  assert str(failed.value).startswith(
    "update 17: loss/reward, loss/total not finite;"
  )
  assert max(step for step, what in loop.told if "saved" in what) == 16


def test_metrics_are_looked_at_where_they_are_shown_alone(monkeypatch):
  looked = []
  monkeypatch.setattr(
    world_model_loop.loss_guard,
    "_fetch",
    lambda metrics: looked.append(1) or dict.fromkeys(_LOSSES, 1.0),
  )
  config = _config("train.save_every=100", "train.eval_every=100")
  _Loop(monkeypatch, config).trainer.train()
  assert len(looked) == 5  # updates 5, 10, 15, 20 and the last


def test_an_atlas_grows_right_before_the_first_batch_of_its_generation(
  monkeypatch,
):
  config = _config("world_model.atlas=counted")
  loop = _Loop(monkeypatch, config)
  old, new = (
    {
      "pages": jnp.full((1, 1, 1), n),
      **{name: jnp.full((2, 4), n) for name in ("tiles", "looks")},
    }
    for n in (0, 1)
  )
  trainer = loop.trainer
  trainer._state = training.TrainState({"atlas": old, "w": 5}, {}, 0)
  seen = []

  def batches(start, table, adopted):
    for number in itertools.count(start):
      if number == 9:
        adopted()
      yield {"number": number}

  def grown(held, history):
    assert history == ["first", "second"]
    assert int(held.tiles[0, 0]) == 0 and len(seen) == 9
    return atlas_lib.Atlas(**new)

  def update(state, batch, key):
    seen.append((batch["number"], int(state.params["atlas"]["tiles"][0, 0])))
    assert state.params["w"] == 5
    return loop._update(state, batch, key)

  trainer._data = types.SimpleNamespace(
    batches=batches, fingerprint=lambda _: "", history=["first", "second"]
  )
  trainer._survey = types.SimpleNamespace(grown=grown)
  meshes = world_model_loop.meshes
  meshes.jit_update = lambda *_: update
  meshes.local = meshes.place_state = lambda mesh, tree: tree
  trainer.train()
  assert seen == [(number, int(number >= 9)) for number in range(21)]
