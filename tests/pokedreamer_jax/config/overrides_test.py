"""Overrides: they reach their field, and bounds are named on one line."""

import dataclasses

import pytest

from pokedreamer_jax.config import bounds
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib


def test_overrides_reach_their_field_alone():
  base = presets.make("debug")
  made = presets.make(
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
  ("preset", "overrides"),
  [
    ("v3", ["train.seq_len=8", "train.burn_in=0"]),
    (
      "tiny",
      ["world_model.family=v2", "world_model.ram=off", "world_model.atlas=off"],
    ),
    ("tiny", ["policy.starts=7", "policy.horizon=3", "policy.minibatches=3"]),
  ],
)
def test_fields_that_bound_one_another_come_in_any_order(preset, overrides):
  made = presets.make(preset, overrides)
  assert made == presets.make(preset, overrides[::-1])
  for path, _, text in (item.partition("=") for item in overrides):
    part, _, name = path.partition(".")
    assert str(getattr(getattr(made, part), name)) == text


def test_of_two_values_for_a_field_the_later_holds():
  made = presets.make("debug", ["train.steps=0", "seed=2", "train.steps=9"])
  assert (made.train.steps, made.seed) == (9, 2)


def test_a_part_is_called_what_it_is_called_in_the_configuration():
  config = config_lib.Config()
  for field in dataclasses.fields(config):
    part = getattr(config, field.name)
    if dataclasses.is_dataclass(part):
      assert bounds.part(part) == field.name


def test_a_misspelt_value_is_guessed_and_another_word_is_not():
  for text, guess in (("progres", "progress"), ("cappped", "capped")):
    with pytest.raises(ValueError, match=rf"'{text}' \(did you mean '{guess}'"):
      presets.make("debug", [f"policy.reward={text}"])
  with pytest.raises(ValueError, match=r"algorithm: 'trpo', expected"):
    presets.make("debug", ["policy.algorithm=trpo"])


def test_whole_numbers_may_have_an_exponent():
  for text, value in (("1e4", 10_000), ("25E1", 250), ("1.5e3", 1500)):
    assert presets.make("debug", [f"train.steps={text}"]).train.steps == value
    assert type(presets.make("debug", [f"seed={text}"]).seed) is int
  for text in ("1e-1", "1.55e1", "1e999999999", "e", "1e", "0x1e", "inf"):
    with pytest.raises(ValueError, match=f"'{text}', expected int"):
      presets.make("debug", [f"train.steps={text}"])


@pytest.mark.parametrize(
  ("override", "meant"),
  [
    ("train.stepz=3", "'train.steps'"),
    ("polcy.gamma=1", "'policy'"),
    ("steps=3", "'train.steps' or 'clone.steps' or 'all_goals.steps'"),
    ("world_model.gamma=1", "'all_goals.gamma' or 'policy.gamma'"),
    ("train.batchsize=3", "'train.batch_size'"),
  ],
)
def test_what_was_meant_is_guessed(override, meant):
  with pytest.raises(ValueError) as caught:
    presets.make("debug", [override])
  assert f"(did you mean {meant}?), expected one of [" in str(caught.value)


def test_where_nothing_is_near_nothing_is_guessed():
  with pytest.raises(ValueError, match=r"unknown 'qqq', expected one of"):
    presets.make("debug", ["train.qqq=3"])
  with pytest.raises(ValueError, match=r"'tinny' .did you mean 'tiny'"):
    presets.make("tinny")


def test_what_does_not_fit_together_is_named():
  with pytest.raises(ValueError, match=r"burn_in: 8, .*seq_len 8") as caught:
    presets.make("v3", ["train.steps=5", "train.seq_len=8"])
  assert "\n" not in str(caught.value)


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
    ("world_model.temperature_end=0", r"above 0 \(world_model\.annealed"),
    ("world_model.annealed=cold", r"'cold', expected one of .*'most_likely'"),
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
    ("policy.algorithm=trpo", r"algorithm: 'trpo', expected one of .*'pmpo'"),
    ("policy.normalise=range", r"'range', expected one of .*'percentile'"),
    ("policy.gamma=1.1", r"policy\.gamma: 1\.1, expected 0\.\.1"),
    ("policy.slow_critic_rate=2", r"slow_critic_rate: 2\.0, expected 0\.\.1"),
    ("policy.clip_high=0.1", r"clip_high: 0\.1, expected 0 or at least .*0\.2"),
    ("policy.advantage_floor=-1", r"advantage_floor: -1\.0, expected at least"),
    ("policy.group_size=4", r"group_size: 4, expected 8 with .*'ppo'.*grpo"),
    ("policy.group_bootstrap=false", r"group_bootstrap: False, expected True"),
    ("policy.pmpo_alpha=0.6", r"pmpo_alpha: 0\.6, expected 0\.5 .*only pmpo"),
  ],
)
def test_bad_overrides_say_what_is_allowed_on_one_line(override, message):
  with pytest.raises(ValueError, match=message) as caught:
    presets.make("debug", [override])
  assert "\n" not in str(caught.value)
  # The field is named as --set does, not by its last word alone.
  path = override.partition("=")[0]
  assert path in str(caught.value)


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    (["algorithm=grpo", "group_size=5"], r"5, expected a .* = 16, at least 2"),
    (["algorithm=grpo", "group_size=1"], r"1, expected a divisor"),
    (["algorithm=grpo", "normalise=percentile"], r"only ppo and reinforce"),
    (["algorithm=pmpo", "normalise=deviation"], r"expected 'auto' with"),
    (["algorithm=reinforce", "clip_high=0.3"], r"only ppo and grpo"),
    (["algorithm=reinforce", "pmpo_beta=0"], r"expected 0\.3 with"),
    (["algorithm=pmpo", "pmpo_alpha=1.5"], r"alpha: 1\.5, expected 0\.\.1"),
  ],
)
def test_what_an_algorithm_does_not_read_is_refused(overrides, message):
  with pytest.raises(ValueError, match=message) as caught:
    presets.make("debug", [f"policy.{item}" for item in overrides])
  assert "\n" not in str(caught.value)


def test_what_an_algorithm_reads_is_taken():
  for overrides, normaliser, branches, passes in (
    (["gamma=0.997", "clip_high=0.28", "epochs=3"], "deviation", 1, 3),
    (["normalise=percentile", "gamma=1"], "percentile", 1, 1),
    (["algorithm=grpo", "group_size=4"], "group", 4, 1),
    (["algorithm=reinforce", "epochs=3"], "percentile", 1, 1),
    (["algorithm=reinforce", "normalise=deviation"], "deviation", 1, 1),
    (["algorithm=pmpo", "epochs=2", "slow_critic_rate=0.02"], "none", 1, 2),
  ):
    policy = presets.make("debug", [f"policy.{o}" for o in overrides]).policy
    found = (policy.normaliser, policy.branches, policy.actor_epochs)
    assert found == (normaliser, branches, passes)
