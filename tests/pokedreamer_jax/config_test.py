"""Configuration: presets, overrides, bounds, and the way through JSON."""

import dataclasses
import json
import subprocess
import sys

import pytest

from pokedreamer_jax import config


@pytest.mark.parametrize("preset", sorted(config.PRESETS))
def test_every_preset_builds_and_survives_json(preset):
  made = config.make(preset, seed=3)
  assert made.preset == preset
  assert made.seed == 3
  again = config.from_dict(json.loads(json.dumps(config.to_dict(made))))
  assert again == made
  assert hash(again) == hash(made)  # jitted functions are cached by it
  assert config.PRESETS[preset].__doc__


def test_overrides_reach_their_field_alone():
  base = config.make("debug")
  made = config.make(
    "debug",
    [
      "train.steps=7",
      "world_model.unimix = 0.05",
      "evaluate.greedy=TRUE",
      "collect.policy_mix=random=1.0",  # only the first = separates
      "seed=4",
    ],
  )
  expected = dataclasses.replace(
    base,
    seed=4,
    train=dataclasses.replace(base.train, steps=7),
    world_model=dataclasses.replace(base.world_model, unimix=0.05),
    evaluate=dataclasses.replace(base.evaluate, greedy=True),
    collect=dataclasses.replace(base.collect, policy_mix="random=1.0"),
  )
  assert made == expected
  assert made != base


@pytest.mark.parametrize(
  ("override", "message"),
  [
    ("train.stepz=3", r"unknown 'stepz'.*'batch_size'"),
    ("trian.steps=3", r"unknown 'trian'.*'world_model'"),
    ("train.steps", r"expected part\.field=value"),
    ("train=3", r"name a field of it.*'steps'"),
    ("train.steps.more=3", r"'steps' has no fields"),
    ("train.steps=many", r"train\.steps: 'many', expected int"),
    ("train.steps=1.5", r"'1\.5', expected int"),
    ("train.learning_rate=fast", r"'fast', expected float"),
    ("train.learning_rate=nan", r"'nan', expected a finite number"),
    ("evaluate.greedy=1", r"'1', expected true or false"),
    ("train.steps=0", r"steps: 0, expected at least 1"),
    ("train.log_every=0", r"log_every: 0, expected at least 1"),
    ("train.save_every=-1", r"save_every: -1, expected at least 1"),
    ("train.learning_rate=-1", r"learning_rate: -1\.0, expected at least 0"),
    ("train.cache_mib=-1", r"cache_mib: -1, expected at least 0"),
    ("train.refresh_every=-1", r"refresh_every: -1, expected at least 0"),
    ("train.seq_len=1", r"seq_len: 1, expected at least 2"),
    ("train.burn_in=8", r"burn_in: 8, expected 0\.\.seq_len-1"),
    ("train.burn_in=-1", r"burn_in: -1"),
    ("train.decay_share=1.5", r"decay_share: 1\.5, expected 0\.\.1"),
    ("train.clip_norm=-1", r"clip_norm: -1\.0, expected at least 0"),
    ("train.weight_decay=-1", r"weight_decay: -1\.0, expected at least 0"),
    ("train.decay_names=tabel", r"'tabel', expected some of kernel, table"),
    ("train.decay_names=kernel,", r"'kernel,', expected some of"),
    ("world_model.compute_dtype=half", r"'half', expected one of .*bfloat16"),
    *(
      (f"train.mesh={wrong}", r"train\.mesh: '.*', expected data=N,fsdp=N")
      for wrong in (
        *("data", "data=x", "model=2", "data=2,data=2", "data=0", "data=-2"),
        *("data=-1,fsdp=-1", "data=1;fsdp=1", ""),
      )
    ),
    ("world_model.classes=1", r"classes: 1, expected at least 2"),
    ("world_model.block_units=0", r"block_units: 0, expected at least 1"),
    ("world_model.unimix=0", r"unimix: 0\.0, expected between 0 and 1"),
    ("world_model.unimix=1", r"unimix: 1\.0"),
    ("world_model.ram=maybe", r"'maybe', expected one of .*'inferred'"),
    ("world_model.encoder=conv", r"'conv', expected one of .*'pixels'"),
    ("world_model.decoder=tiles", r"'tiles', expected one of .*'dictionary'"),
    ("world_model.tokens=map", r"'map', expected name:size"),
    ("world_model.tokens=map:1", r"'map:1', expected name:size"),
    ("world_model.ram_heads=xp", r"ram_heads: 'xp', expected name:size"),
    ("world_model.ram_heads=xp:9 xp:5", r"ram_heads: 'xp' is there twice"),
    ("world_model.tokens=map:4 map:8", r"'map' is there twice"),
    ("evaluate.windows=1", r"windows: 1, expected at least 2"),
    ("collect.episode_length=1", r"episode_length: 1"),
    ("policy.minibatches=7", r"minibatches: 7, expected a divisor"),
  ],
)
def test_bad_overrides_say_what_is_allowed_on_one_line(override, message):
  with pytest.raises(ValueError, match=message) as caught:
    config.make("debug", [override])
  assert "\n" not in str(caught.value)


def test_an_unknown_preset_lists_the_presets():
  with pytest.raises(ValueError, match=r"'huge', expected one of .*'tiny'"):
    config.make("huge")


def test_a_file_of_a_newer_version_is_refused():
  values = config.to_dict(config.make("tiny"))
  values["train"]["momentum"] = 0.9
  with pytest.raises(ValueError, match=r"config\.train: unknown \['momentum'"):
    config.from_dict(values)
  del values["train"]["momentum"]
  values["sleep"] = {"hours": 8}
  with pytest.raises(ValueError, match=r"config: unknown \['sleep'"):
    config.from_dict(values)


def test_what_an_older_file_lacks_has_its_default():
  made = config.make("debug", ["train.agc=0.5", "train.seq_len=9"])
  values = config.to_dict(made)
  del values["train"]["agc"], values["evaluate"]
  expected = dataclasses.replace(
    made,
    train=dataclasses.replace(made.train, agc=config.TrainConfig().agc),
    evaluate=config.EvaluateConfig(),
  )
  assert config.from_dict(values) == expected != made


def test_sizes_by_hand():
  model = config.WorldModelConfig(
    deter=10, stoch=3, classes=4, tokens="battle:4 map:5"
  )
  assert model.token_sizes == {"battle": 4, "map": 5}
  assert list(model.token_sizes) == ["battle", "map"]
  assert (model.token_dim, model.stoch_dim, model.feat_dim) == (9, 12, 31)
  off = dataclasses.replace(model, ram="off")
  assert off.token_sizes == {}
  assert (off.token_dim, off.feat_dim) == (0, 22)


def test_mesh_sizes_by_hand():
  assert config.TrainConfig().mesh_sizes == {"data": 1, "fsdp": 1}
  sizes = config.TrainConfig(mesh="data=-1").mesh_sizes
  assert sizes == {"data": -1, "fsdp": 1}
  sizes = config.TrainConfig(mesh=" fsdp = 4").mesh_sizes
  assert list(sizes.items()) == [("data", 1), ("fsdp", 4)]


def test_reading_a_configuration_wakes_no_jax():
  program = (
    "import sys; from pokedreamer_jax import config; config.make('tiny'); "
    "sys.exit('jax' in sys.modules)"
  )
  root = str(config.__file__).rsplit("/", 2)[0]
  subprocess.run([sys.executable, "-c", program], check=True, cwd=root)


def test_sources_of_the_clone_are_behaviours():
  sources = config.CloneConfig(sources="human, policy").source_names
  assert sources == ("human", "policy")
  for wrong in ("", "human,none", "walker", "human,human", "human,"):
    with pytest.raises(ValueError, match=r"clone\.sources: .*demonstrator"):
      config.CloneConfig(sources=wrong)
