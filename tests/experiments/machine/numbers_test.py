"""What decides numbers: recorded, said where it differs, or refused."""

import json
import os
import sys
from unittest import mock

import jax
import pytest

from experiments import train_policy
from experiments.machine import numbers
from experiments.runs import cli
from experiments.runs import run_directory
from pokedreamer_jax import whole_files
from pokedreamer_jax.config import behaviour as behaviour_config

_PRECISION = "JAX_DEFAULT_MATMUL_PRECISION"


def _open(path, stage="world_model", **train):
  return run_directory.open_run(
    path, stage, {"train": train}, ("train.steps",), graceful=False
  )


def _starts(path):
  return json.loads((path / "meta.json").read_text())["starts"]


def _saved(path, step=60):
  folder = path / "checkpoints" / str(step)
  folder.mkdir(parents=True)
  whole_files.write_list(folder, {"step": step})


def test_devices_are_recorded_once_jax_is_awake(tmp_path):
  jax.numpy.zeros(1).block_until_ready()
  with _open(tmp_path, steps=2) as run:
    assert _starts(tmp_path)[-1]["devices"] == []
    run.finish({})
  found = _starts(tmp_path)[-1]
  assert len(found["devices"]) == len(jax.devices())
  assert found["devices"][0].startswith("cpu: ")
  assert found["versions"]["jax"] == jax.__version__


def test_other_versions_flags_and_devices_are_said_on_resume(tmp_path):
  with _open(tmp_path, steps=90) as run:
    run.note_devices()
  _saved(tmp_path)
  meta = json.loads((tmp_path / "meta.json").read_text())
  meta["starts"][-1]["versions"]["jax"] = "0.1"
  meta["starts"][-1]["devices"] = ["gpu: Another", "gpu: Another"]
  (tmp_path / "meta.json").write_text(json.dumps(meta))
  flags = "--xla_cpu_enable_fast_math=true --xla_dump_to=nowhere"
  with mock.patch.dict(os.environ, {"XLA_FLAGS": flags}):
    with _open(tmp_path, steps=90) as run:
      run.note_devices()
  first, second = (tmp_path / "log.txt").read_text().splitlines()
  assert f"jax 0.1 -> {jax.__version__}" in first
  assert "XLA_FLAGS" in first and "fast_math=true," in first
  assert "devices 2 x gpu: Another -> " in second
  with mock.patch.dict(os.environ, {"XLA_FLAGS": flags}):
    with _open(tmp_path, steps=90) as run:  # as it was: nothing to say
      run.note_devices()
  assert len((tmp_path / "log.txt").read_text().splitlines()) == 2


def test_another_matrix_precision_is_refused_on_resume(tmp_path):
  _open(tmp_path, steps=90).close()
  _saved(tmp_path)
  before = _starts(tmp_path)
  with jax.default_matmul_precision("highest"):
    with pytest.raises(ValueError, match=f"{_PRECISION} unset -> highest"):
      _open(tmp_path, steps=90)
  assert _starts(tmp_path) == before


def test_what_is_fixed_is_refused_where_jax_is_awake_too(tmp_path):
  numbers.check()
  with jax.default_prng_impl("rbg"):
    with pytest.raises(ValueError, match=r"PRNG_IMPL=rbg.*threefry2x32"):
      _open(tmp_path, steps=1)
  with mock.patch.dict(sys.modules):
    del sys.modules["jax"]
    for text, good in (("off", True), ("yes", False), ("", True)):
      with mock.patch.dict(os.environ, {"JAX_ENABLE_X64": text}):
        if good:
          numbers.check()
        else:
          with pytest.raises(ValueError, match="JAX_ENABLE_X64=yes"):
            numbers.check()


@pytest.mark.parametrize("finished", [False, True])
def test_less_than_is_done_is_refused_and_nothing_removed(tmp_path, finished):
  with _open(tmp_path, steps=60) as run:
    if finished:
      run.finish({"steps": 60})
    else:
      _saved(tmp_path)
  config = (tmp_path / "config.json").read_bytes()
  with pytest.raises(ValueError, match=r"train.steps: 20, and .* done 60"):
    _open(tmp_path, steps=20)
  assert (tmp_path / "config.json").read_bytes() == config
  assert (tmp_path / "result.json").exists() == finished
  with _open(tmp_path, steps=80) as run:
    assert not run.finished


@pytest.mark.parametrize("trace", ["checkpoints/5", "shards/a"])
def test_results_without_a_configuration_are_refused(tmp_path, trace):
  (tmp_path / trace).mkdir(parents=True)
  with pytest.raises(ValueError, match=r"no config.json"):
    _open(tmp_path, steps=1)
  with pytest.raises(ValueError, match=r"no config.json"):
    run_directory.claim(tmp_path, "collect", {})
  assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize(
  ("given", "updates", "warmup"),
  [
    ((), 7, 0),
    (("policy.updates",), 2, 0),
    (("policy.updates", "policy.scratch_updates"), 7, 0),
    (("policy.critic_warmup",), 7, 3),
  ],
)
def test_from_scratch_what_is_set_holds(monkeypatch, given, updates, warmup):
  monkeypatch.setattr(cli, "is_set", lambda name: name in given)
  policy = behaviour_config.PolicyConfig(
    updates=2,
    scratch_updates=7,
    critic_warmup=3,
    ahead_starts=0.5,
    kl_battle=2.0,
  )
  scratch = train_policy._policy_config(policy, cloned=False)
  assert (scratch.updates, scratch.critic_warmup) == (updates, warmup)
  assert scratch.kl_scale == scratch.kl_final == scratch.kl_battle == 0
  assert scratch.ahead_starts == 0
  assert train_policy._policy_config(policy, cloned=True) == policy
