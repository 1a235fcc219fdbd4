"""Presets: whole configurations, each with what to expect of it."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import difflib
import inspect
from typing import Any

from pokedreamer_jax import specs
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.config import overrides as overrides_lib
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.config import world_model as world_model_config

# Rewards are paid once for what an episode has not reached yet.
_ACTOR_CRITIC = behaviour_config.ActorCriticConfig(reads_progress=True)
# Nothing that it pays can be had again and again, so that the policy may leave
# its clone; a second one without the clone takes as long. A level is 50 steps
# from the healer: with gamma .99 some policies stay there, and in corners where
# no dream starts.
_POLICY = behaviour_config.PolicyConfig(
  reward="progress",
  updates=200,
  ahead_starts=0.5,
  gamma=0.997,
  kl_scale=0.1,
  kl_final=0.02,
  scratch_updates=0,
)
# Best and worst episodes of learned players as clips.
_FILMED = config_lib.EvaluateConfig(videos="all")


def _tiny() -> config_lib.Config:
  """The quickstart on a laptop: `make quickstart`, 2 CPU cores, 2.3 GiB.

  Expect, over seeds 0 to 2: most likely dreams with .82 to .84 of the frames
  exact at 5 steps, .74 to .78 at 15 and .50 to .57 at 50 (the emulator with
  other luck .79 to .83, .69 to .73, .49 to .56), and where no luck changes
  anything .88 to .96 at 50 steps.
  Clones of 600 demonstrated steps earn the badge in 25, 23 and 44 % of the
  games, policies from them in 96, 92 and 94 %. 6 to 8 minutes in all.
  """
  return config_lib.Config(
    preset="tiny",
    world_model=world_model_config.WorldModelConfig(
      tokens=world_model_config.CHAPTER_TOKENS,
      relative_tokens=True,
      hp_bars=True,
      tile_units=24,
      block_units=24,
      atlas="counted",
      atlas_cells=4096,
    ),
    train=config_lib.TrainConfig(steps=2200, decode_blocks=24, eval_every=2200),
    actor_critic=_ACTOR_CRITIC,
    clone=behaviour_config.CloneConfig(few_rows=600),
    policy=_POLICY,
    evaluate=_FILMED,
  )


def _debug() -> config_lib.Config:
  """Wiring only, does not learn: `--preset=debug`, 2 to 4 minutes."""
  return config_lib.Config(
    preset="debug",
    collect=config_lib.CollectConfig(
      episodes=8,
      episode_length=96,
      policy_mix="demonstrator:eps=0.2=0.5,sticky_random=0.25,random=0.25",
    ),
    world_model=world_model_config.WorldModelConfig(
      deter=32, stoch=4, classes=4, hidden=32, tile_units=8, block_units=8
    ),
    train=config_lib.TrainConfig(
      steps=20,
      batch_size=4,
      seq_len=8,
      decode_rows=8,
      log_every=5,
      eval_every=20,
      save_every=10,
      eval_windows=4,
    ),
    latents=behaviour_config.LatentsConfig(streams=4, chunk=32),
    actor_critic=behaviour_config.ActorCriticConfig(
      units=32, goal_dim=8, bins=21, reads_progress=True
    ),
    clone=behaviour_config.CloneConfig(
      few_rows=50, steps=20, batch_size=32, log_every=5, save_every=10
    ),
    all_goals=behaviour_config.AllGoalsConfig(
      steps=20, batch_size=8, length=4, units=32, log_every=5, save_every=10
    ),
    policy=behaviour_config.PolicyConfig(
      reward="progress",
      updates=4,
      scratch_updates=4,
      critic_warmup=1,
      starts=16,
      horizon=5,
      epochs=1,
      minibatches=2,
      log_every=1,
      save_every=2,
    ),
    evaluate=config_lib.EvaluateConfig(
      episodes=4,
      windows=8,
      context=4,
      horizon=16,
      bootstrap=200,
      carried_rows=40,
      long_episodes=2,
    ),
    agent=config_lib.AgentConfig(updates=20, episodes=2),
  )


# Episodes from everywhere on the way through the great vale, with few mistakes
# and with many: from power-on alone its later maps are hardly seen.
_VALE_COLLECT = config_lib.CollectConfig(
  episodes=900,
  episode_length=1024,
  policy_mix=(
    "demonstrator:eps=0.05=0.25,demonstrator:eps=0.2=0.2,"
    "demonstrator:eps=0.5=0.15,hasty:eps=0.1=0.1,wanderer:eps=0.1=0.15,"
    "sticky_random=0.1,random=0.05"
  ),
  start_states=",".join(
    ["power_on=3"]
    + [
      f"great_vale/{name}=1"
      for name in (
        *("home", "meadow_road", "greenwood", "mill_road", "brookmere"),
        *("leaf_hall", "first_badge", "stone_road", "upper_cave"),
        *("lower_cave", "star_ore", "cairn", "tide_hall", "second_badge"),
        *("key_cut", "ledge_road", "old_hall"),
      )
    ]
  ),
)
_VALE_WORLD = world_model_config.WorldModelConfig(
  deter=512,
  stoch=16,
  classes=16,
  tokens=world_model_config.VALE_TOKENS,
  relative_tokens=True,
  packed_chain=True,
  chain_changes=True,
  clock_sets=True,
  # The HP of who is fought is drawn as a bar alone.
  unseen_tokens="menu_wait event_flags enemy_hp enemy_max_hp",
  hp_bars=True,
  hidden=256,
  tile_vocab=2400,
  tile_units=48,
  block_units=40,
  atlas="counted",
  atlas_cells=23_552,
  atlas_boxes=1280,
  # Most of what it would guess, a picture does not show.
  infer_scale=0.2,
)


def _vale() -> config_lib.Config:
  """The great vale on a laptop: 6 to 10 minutes to record, 47 to 58 to train.

      python -m experiments.quickstart --preset=vale --rom=great_vale \\
        --workdir=runs/vale

  Expect of the world model (one seed of these tokens, 200 windows; three of
  those before: docs/results.md): one step ahead .94 of the overworld frames,
  .89 of the menus, .78 of the battles and .68 of the dialogs exact; at 15 steps
  .46 of the sampled and .58 of the most likely frames, where the emulator with
  other luck has .60; at 50 steps 4.5 and 3.6 tiles off for its 4.7. Training
  takes 9.5 GiB of memory, 4 of them the cache of unpacked records; on both
  cores .56 of the time on one (on a Xeon 5 updates a second, 58 minutes beside
  other work). The whole path ended without a badge, its policy paid by
  `capped`: clone and policy know no errand, and see 5 of the 29 maps in 1,500
  steps.
  """
  return config_lib.Config(
    preset="vale",
    collect=_VALE_COLLECT,
    world_model=_VALE_WORLD,
    train=config_lib.TrainConfig(
      steps=12_000,
      batch_size=8,
      seq_len=16,
      decode_rows=32,
      decode_blocks=24,
      learning_rate=3e-3,
      warmup_steps=200,
      save_every=500,
      eval_every=6000,
      cache_mib=4096,
    ),
    latents=behaviour_config.LatentsConfig(max_rows=120_000),  # 3 kB each
    actor_critic=dataclasses.replace(_ACTOR_CRITIC, units=512),
    policy=_POLICY,
    # The first badge is some 1,200 steps away.
    evaluate=dataclasses.replace(_FILMED, episodes=12, play_length=1500),
    agent=config_lib.AgentConfig(updates=3000),
  )


def _vale_agent() -> config_lib.Config:
  """Goals, a planner and turns of play in the great vale.

      python -m experiments.train_agent --preset=vale_agent --rom=great_vale \\
        --workdir=runs/vale_agent

  Expect two hours on two cores, most of it the world model's, and 10 GiB. A
  policy of this recipe, but without its turn of play, is led by the offline
  planner to two badges and ten species in 8 of 10 untouched games of 10,000
  steps, to all three badges in 8 (one seed); its clone to one badge in 7. As
  one command it was not run to its end.
  """
  vale = _vale()
  return dataclasses.replace(
    vale,
    preset="vale_agent",
    latents=behaviour_config.LatentsConfig(max_rows=400_000, own_share=0.5),
    actor_critic=dataclasses.replace(
      vale.actor_critic, goal_dim=64, reads_goal=True, reads_offset=True
    ),
    goals=behaviour_config.GoalsConfig(
      none=0.1,
      milestone=0.4,
      errands=True,
      horizon=32,
      kinds=(
        "tile=12,map=4,heal=2,catch=2,own=1,level=1,item=1,talk=1,story=1,"
        "explore=1,win=1,win_wild=1,win_trainer=1,win_leader=1,badge=1"
      ),
      other=0.3,
      walks=0.6,
    ),
    clone=dataclasses.replace(vale.clone, steps=5000),
    policy=dataclasses.replace(
      vale.policy,
      gamma=0.99,
      updates=250,
      ahead_steps=40,
      kl_final=0.05,
      kl_battle=2.0,
    ),
    agent=config_lib.AgentConfig(
      turns=1,
      episodes=36,
      policy_mix="policy:planner=1",
      updates=3000,
      demonstrations=24,
      astray=240,
      play_length=4000,
      play_states="power_on=0.5,great_vale/first_badge=0.5",
    ),
    evaluate=dataclasses.replace(
      vale.evaluate, episodes=10, play_length=10_000
    ),
  )


def _vale_gpu() -> config_lib.Config:
  """The great vale on one GPU. Not measured yet.

  python -m experiments.quickstart --preset=vale_gpu --rom=great_vale \\
        --workdir=runs/vale_gpu
  """
  vale = _vale()
  return dataclasses.replace(
    vale,
    preset="vale_gpu",
    collect=dataclasses.replace(vale.collect, episodes=1500),
    world_model=dataclasses.replace(
      vale.world_model,
      deter=1024,
      stoch=32,
      classes=32,
      hidden=640,
      tile_vocab=3000,
      tile_units=64,
      block_units=64,
      compute_dtype="bfloat16",
      ram_heads=world_model_config.PRACTICE_RAM_HEADS,
    ),
    train=dataclasses.replace(
      vale.train,
      steps=40_000,
      mesh="data=-1,fsdp=1",
      batch_size=32,
      seq_len=32,
      burn_in=8,
      decode_rows=256,
      learning_rate=1e-3,
      warmup_steps=500,
      save_every=1000,
      eval_every=10_000,
      cache_mib=16_384,
    ),
    agent=config_lib.AgentConfig(updates=10_000),
  )


def _v3() -> config_lib.Config:
  """Whole games, pixel by pixel, on one or more accelerators. Not measured yet.

      python -m experiments.train_rssm --preset=v3 \\
        --data_dir=runs/red/data --workdir=runs/red/world_model

  Sized for the memory of Pokemon Red, and for accelerators: several share the
  work by `train.mesh`. Its parameters take 184 MB.
  """
  return config_lib.Config(
    preset="v3",
    collect=config_lib.CollectConfig(episodes=1000, episode_length=2048),
    world_model=world_model_config.WorldModelConfig(
      deter=1024,
      stoch=32,
      classes=64,
      tokens=world_model_config.POKEMON_RED_TOKENS,
      hidden=640,
      encoder="pixels",
      decoder="pixels",
      tile_units=64,
      block_units=40,
      ram_heads=world_model_config.POKEMON_RED_RAM_HEADS,
      compute_dtype="bfloat16",
      image_scale=0.01,  # a frame is 23,040 pixels here, not 360 tiles
    ),
    train=config_lib.TrainConfig(
      steps=100_000,
      mesh="data=-1,fsdp=1",
      batch_size=32,
      seq_len=64,
      burn_in=8,
      decode_rows=512,
      learning_rate=4e-4,
      warmup_steps=1000,
      clip_norm=100.0,
      weight_decay=0.01,
      save_every=1000,
      eval_every=10_000,
    ),
    actor_critic=dataclasses.replace(_ACTOR_CRITIC, units=512),
    policy=_POLICY,
    evaluate=_FILMED,
  )


def _v2() -> config_lib.Config:
  """The published networks and losses: `train_rssm --preset=v2`.

  For comparison and for imported checkpoints; 56.7 million parameters. Made
  for an accelerator: on 2 CPU cores an update of 2 windows takes 1.4 s, and
  after the 40 that were tried (of 1 window) the frames were still worse than
  one grey picture. Policies are not trained on it: it predicts one scalar
  reward, not the reward terms.
  """
  return config_lib.Config(
    preset="v2",
    world_model=world_model_config.WorldModelConfig(
      family="v2",
      ram="off",
      deter=512,
      stoch=32,
      classes=32,
      hidden=512,
      temperature_start=1.0,
      temperature_end=0.5,
      temperature_steps=5000,
    ),
    train=config_lib.TrainConfig(
      batch_size=4,
      seq_len=15,
      decode_rows=0,
      learning_rate=3e-4,
      warmup_steps=0,
      decay_share=0.0,
      agc=0.0,
      clip_norm=10.0,
      adam_b2=0.999,
      eval_windows=8,
    ),
  )


PRESETS = {
  "tiny": _tiny,
  "debug": _debug,
  "vale": _vale,
  "vale_agent": _vale_agent,
  "vale_gpu": _vale_gpu,
  "v3": _v3,
  "v2": _v2,
}


def make(
  preset: str,
  overrides: Sequence[str] = (),
  seed: int = 0,
  values: Mapping[str, Any] | None = None,
  source: str = "",
) -> config_lib.Config:
  """The configuration of a preset with `part.field=value` overrides.

  Args:
    preset: its name.
    overrides: what is changed, after `values`.
    seed: of everything random.
    values: what a file changes, by field and by the fields of parts.
    source: the file's name, for errors.

  Raises:
    ValueError: an unknown preset or field (the valid names are listed), or a
      value of the wrong type.
  """
  if preset not in PRESETS:
    close = difflib.get_close_matches(preset, PRESETS, 1)
    raise ValueError(
      f"preset: {preset!r}{specs.did_you_mean(close)}, expected one of "
      f"{sorted(PRESETS)}"
    )
  config = dataclasses.replace(PRESETS[preset](), seed=seed)
  if values is not None:
    config = overrides_lib.with_values(config, values, source)
  return overrides_lib.apply(config, overrides)


def about(preset: str) -> str:
  """What to expect of a preset: hardware, time, measured results."""
  return inspect.getdoc(PRESETS[preset]) or ""
