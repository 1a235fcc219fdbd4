"""Frozen configuration of a run, and its way through JSON.

Standard library only: reading a configuration wakes no jax. One dataclass per
part; `Config` holds them all and is what a run directory records. Those of the
world model and of the agent stand in `world_model_config` and
`behaviour_config`, whole configurations in `presets`.
"""

import dataclasses
from typing import Any

from pokedreamer_jax import json_files
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.config import bounds
from pokedreamer_jax.config import world_model as world_model_config

MESH_AXES = ("data", "fsdp")  # see `training/mesh.py`
PARAMETER_NAMES = ("kernel", "table", "cells", "bias", "scale")  # of networks
DETAILS = ("quick", "full")
STARTS = ("clone", "scratch")  # of the policies of `train_agent`
VIDEOS = ("off", "policy", "all")
NUM_MAPS = 256  # that memory can name


@dataclasses.dataclass(frozen=True)
class CollectConfig:
  """What is recorded from the emulator."""

  episodes: int = 160
  episode_length: int = 512  # env steps at most, the first row included
  # Share of episodes per behaviour: `name[:eps=probability]=share`.
  # Noise in a demonstrator's episode shows how it recovers, and what the
  # world does when it is not led; one in haste shows what it does when a
  # leader is met too early, one that wanders shows rooms from all sides, and
  # where their walls are; random players stay near the start.
  policy_mix: str = (
    "demonstrator:eps=0.1=0.3,demonstrator:eps=0.3=0.25,"
    "demonstrator:eps=0.6=0.1,hasty:eps=0.1=0.1,wanderer:eps=0.3=0.1,"
    "sticky_random=0.1,random=0.05"
  )
  # Share of episodes per start state: `power_on`, `<world>/<name>` or a file,
  # as in `power_on=0.5,great_vale/first_badge=0.5`; empty is power-on.
  start_states: str = ""
  workers: int = 2  # processes
  jitter_frames: int = 60  # no-op frames before an episode, uniform in 0..this
  shard_mib: int = 64  # a shard is closed at this size ...
  shard_s: int = 60  # ... or at this age

  def __post_init__(self):
    bounds.at_least(self, 1, "episodes", "workers", "shard_mib", "shard_s")
    bounds.at_least(self, 2, "episode_length")
    bounds.at_least(self, 0, "jitter_frames")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """Optimisation of the world model."""

  steps: int = 6000
  # Passes over as many windows as there are in the training episodes of the
  # first generation; sets `steps`, where it is not 0.
  epochs: int = 0
  max_files: int = 0  # shards that a run begins with, by name; 0: all
  batch_size: int = 8  # windows
  seq_len: int = 16  # rows of a window
  burn_in: int = 0  # first rows that carry no loss
  # Rows decoded per update, 0 for all; the rest only steer h. Family v2 always
  # decodes all: BatchNorm takes its statistics of what is decoded.
  decode_rows: int = 32
  # Of each of these rows, blocks that are drawn from the dictionary, with an
  # atlas; 0 for all. The rest are copied, or stand for others like them.
  decode_blocks: int = 0
  # Share of the windows in which steps read, in place of the recorded tokens,
  # the model's own guess of them, as in dreams (see `own_tokens.py`). Without
  # tokens, and in family v2, it says nothing.
  error_share: float = 0.0
  learning_rate: float = 3e-3
  warmup_steps: int = 100
  decay_share: float = 0.4  # last share of the steps decays linearly to 0
  agc: float = 0.3  # adaptive gradient clipping; 0 is off
  clip_norm: float = 0.0  # largest norm of the whole gradient; 0 is off
  # Decoupled weight decay (AdamW) of the parameters with these names, a share
  # per update times the learning rate. Norms and biases are left out.
  weight_decay: float = 0.0
  decay_names: str = "kernel,table"
  adam_b2: float = 0.99
  # Devices that share a batch (data), and those that share the parameters as
  # well (fsdp); -1 stands for all that are left. One by default: small models
  # gain nothing from more, and their batches might not be shared evenly.
  mesh: str = "data=1,fsdp=1"
  log_every: int = 50  # train steps
  eval_every: int = 2000  # train steps; 0: every epoch
  save_every: int = 500  # train steps
  keep_every_epoch: bool = False  # beside the best and the latest checkpoints
  eval_windows: int = 64
  cache_mib: int = 1024  # recorded steps kept unpacked, 5.9 kB each
  refresh_every: int = 0  # train steps between looks at new data; 0: never
  # Map numbers, as in "5,9": no training window holds a row on one of them, and
  # neither tile dictionary nor atlas are counted there. For measuring what a
  # model does in a place that it has not been to.
  leave_out_maps: str = ""

  def __post_init__(self):
    bounds.at_least(self, 0, "cache_mib", "decode_rows", "decode_blocks")
    bounds.at_least(self, 1, "steps", "batch_size", "eval_windows")
    bounds.at_least(self, 1, "log_every", "save_every")
    bounds.at_least(self, 0, "warmup_steps", "learning_rate", "refresh_every")
    bounds.at_least(self, 0, "epochs", "max_files", "eval_every")
    if self.max_files and self.refresh_every:
      raise ValueError(
        f"train.max_files: {self.max_files}, expected 0 where new data is "
        f"adopted (train.refresh_every: {self.refresh_every})"
      )
    bounds.at_least(self, 0, "agc", "clip_norm", "weight_decay")
    bounds.at_least(self, 2, "seq_len")
    if not set(self.decay_name_set) <= set(PARAMETER_NAMES):
      raise ValueError(
        f"train.decay_names: {self.decay_names!r}, expected some of "
        + ", ".join(PARAMETER_NAMES)
      )
    if not 0 <= self.burn_in < self.seq_len:
      raise ValueError(
        f"train.burn_in: {self.burn_in}, expected 0..seq_len-1, with "
        f"train.seq_len {self.seq_len}"
      )
    if not 0.0 <= self.error_share <= 1.0:
      raise ValueError(f"train.error_share: {self.error_share}, expected 0..1")
    if not 0.0 <= self.decay_share <= 1.0:
      raise ValueError(f"train.decay_share: {self.decay_share}, expected 0..1")

    _ = self.mesh_sizes  # raises where it cannot be read
    _ = self.left_out_maps

  @property
  def mesh_sizes(self) -> dict[str, int]:
    """Devices along each of `MESH_AXES`; at most one is -1, all others."""
    sizes = dict.fromkeys(MESH_AXES, 1)
    try:
      given = [item.split("=") for item in self.mesh.split(",")]
      read = {name.strip(): int(size) for name, size in given}
      good = set(read) <= set(sizes) and len(read) == len(given)
      sizes |= read
    except ValueError:
      good = False
    values = sorted(sizes.values())
    if not good or values[0] < -1 or values[0] == 0 or values[1] < 1:
      raise ValueError(
        f"train.mesh: {self.mesh!r}, expected data=N,fsdp=N with devices from "
        "1, at most one of them -1"
      )
    return sizes

  @property
  def left_out_maps(self) -> tuple[int, ...]:
    """The numbers in `leave_out_maps`, ascending."""
    items = [item.strip() for item in self.leave_out_maps.split(",")]
    if items == [""]:
      return ()
    good = all(item.isascii() and item.isdigit() for item in items)
    maps = sorted(map(int, items)) if good else [-1]
    if maps[0] < 0 or maps[-1] >= NUM_MAPS or len(set(maps)) < len(maps):
      raise ValueError(
        f"train.leave_out_maps: {self.leave_out_maps!r}, expected different "
        f"map numbers from 0 to {NUM_MAPS - 1}, as in 5,9"
      )
    return tuple(maps)

  @property
  def decay_name_set(self) -> frozenset[str]:
    """The names in `decay_names`."""
    return frozenset(name.strip() for name in self.decay_names.split(","))


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
  """What is measured at the end."""

  episodes: int = 24  # paired emulator episodes per policy
  # Env steps at most of an episode of play, which begins at power-on; 0: as
  # long as those that are recorded (`collect.episode_length`).
  play_length: int = 0
  windows: int = 200  # held-out open-loop windows
  context: int = 8  # posterior rows before the open loop
  horizon: int = 50  # open-loop rows
  # How often sampled dreams of these are drawn; their scores are averaged.
  draws: int = 1
  bootstrap: int = 2000  # resamples of a paired interval
  # Of a world model: `full` adds calm windows, long carried states, and events
  # and inventory read off states.
  detail: str = "full"
  carried_rows: int = 1000  # that a carried state has seen
  long_episodes: int = 12  # in which it is carried
  greedy: bool = False  # take the most likely action instead of sampling
  alone: bool = True  # under planners: the same games without one as well
  # Of play under goals: cases of a kind, env steps from which the recording
  # reached the goal at most, env steps that the policy has, and the last row
  # of an episode that a game is entered at.
  goal_cases: int = 24
  goal_horizon: int = 32
  goal_limit: int = 96
  goal_most_row: int = 400
  # Dreams from each case under the right goal, as long as the policy has; 0:
  # none.
  goal_dreams: int = 0
  # Games from each case under the right goal, that dreams are held against.
  goal_games: int = 1
  # Of dreams against games: starts, half of them before events; games from
  # each; dreams from each of these; steps of both; and the last row of an
  # episode that a game is entered at.
  dream_starts: int = 96
  dream_plays: int = 4
  dream_samples: int = 32
  dream_steps: int = 15
  dream_most_row: int = 250
  # Of long dreams: steps of one (750 are five minutes), and how many.
  long_steps: int = 750
  long_starts: int = 12
  blind_pairs: int = 120  # of clips, real and dreamt, at most
  # Of tokens: recorded rows at most, of whole episodes.
  token_rows: int = 400_000
  # Whose best and worst episode are filmed: nobody's, those of the player that
  # verdicts speak of, or of every learned player.
  videos: str = "off"

  def __post_init__(self):
    bounds.at_least(self, 2, "episodes", "windows")
    bounds.at_least(self, 1, "context", "bootstrap", "draws")
    bounds.at_least(self, 5, "horizon")  # the first step that tables speak of
    bounds.one_of(self, "detail", DETAILS)
    bounds.one_of(self, "videos", VIDEOS)
    bounds.at_least(self, self.context, "carried_rows")
    bounds.at_least(self, 2, "long_episodes")
    bounds.at_least(self, 0, "play_length", "goal_most_row", "goal_dreams")
    bounds.at_least(self, 1, "goal_cases", "goal_horizon", "goal_limit")
    bounds.at_least(self, 1, "goal_games")
    if self.goal_games > 1 and not self.goal_dreams:
      raise ValueError(
        f"evaluate.goal_games: {self.goal_games}, dreams are held against them "
        "and evaluate.goal_dreams is 0, expected 1 or dreams"
      )
    bounds.at_least(self, 2, "dream_starts", "dream_plays")
    bounds.at_least(self, 1, "dream_samples", "dream_steps", "dream_most_row")
    bounds.at_least(self, 2, "long_steps", "long_starts", "blind_pairs")
    bounds.at_least(self, 1, "token_rows")
    if self.play_length == 1:
      raise ValueError("evaluate.play_length: 1, expected 0 or at least 2")


@dataclasses.dataclass(frozen=True)
class AgentConfig:
  """Turns of `train_agent`: fresh play, world model, clone and policy anew."""

  turns: int = 1  # after the first, which has nobody's play but the recorded
  # What the policy of each turn begins as: the clone, or nobody's. The world
  # model sees all recordings either way.
  start: str = "clone"
  episodes: int = 32  # of fresh play in a turn
  # Who plays them, as in `collect.policy_mix`; `policy`: of the turn before.
  policy_mix: str = "policy=0.5,policy:eps=0.1=0.5"
  updates: int = 550  # further updates of the world model in a turn
  # Recorded beside `collect`, before anything is trained: whole games from
  # power-on, which show a planner the order of milestones, and episodes whose
  # demonstrator is led astray, which show a clone the way back.
  demonstrations: int = 0
  demonstration_length: int = 9000  # env steps at most
  astray: int = 0
  # Env steps of an episode of fresh play at most, and where it starts, as in
  # `collect.start_states`; 0 and empty are as recorded.
  play_length: int = 0
  play_states: str = ""
  # Share of a turn's played frames that no earlier record shows: with less the
  # turns end there, before anything is trained on them; 0: they never do.
  least_new_frames: float = 0.0

  def __post_init__(self):
    if not 0.0 <= self.least_new_frames <= 1.0:
      raise ValueError(
        f"agent.least_new_frames: {self.least_new_frames}, expected 0..1"
      )
    bounds.at_least(self, 1, "episodes", "updates")
    bounds.at_least(self, 0, "turns", "demonstrations", "astray", "play_length")
    bounds.at_least(self, 2, "demonstration_length")
    bounds.one_of(self, "start", STARTS)
    for item in self.policy_mix.split(","):
      if not item.strip():
        raise ValueError(
          f"agent.policy_mix: {self.policy_mix!r}, expected players with "
          "shares, as in policy=0.5,policy:eps=0.1=0.5"
        )


@dataclasses.dataclass(frozen=True)
class Config:
  """Everything that decides a run."""

  preset: str = "tiny"
  seed: int = 0
  collect: CollectConfig = CollectConfig()
  world_model: world_model_config.WorldModelConfig = dataclasses.field(
    default=world_model_config.WorldModelConfig()
  )
  train: TrainConfig = TrainConfig()
  latents: behaviour_config.LatentsConfig = dataclasses.field(
    default=behaviour_config.LatentsConfig()
  )
  actor_critic: behaviour_config.ActorCriticConfig = dataclasses.field(
    default=behaviour_config.ActorCriticConfig()
  )
  goals: behaviour_config.GoalsConfig = dataclasses.field(
    default=behaviour_config.GoalsConfig()
  )
  clone: behaviour_config.CloneConfig = dataclasses.field(
    default=behaviour_config.CloneConfig()
  )
  all_goals: behaviour_config.AllGoalsConfig = dataclasses.field(
    default=behaviour_config.AllGoalsConfig()
  )
  policy: behaviour_config.PolicyConfig = dataclasses.field(
    default=behaviour_config.PolicyConfig()
  )
  evaluate: EvaluateConfig = EvaluateConfig()
  agent: AgentConfig = AgentConfig()

  @property
  def play_length(self) -> int:
    """Env steps at most of an episode in which players are measured."""
    return self.evaluate.play_length or self.collect.episode_length


def to_dict(config: Any) -> dict[str, Any]:
  """Nested plain dictionary, ready for JSON."""
  return dataclasses.asdict(config)


def from_dict(values: dict[str, Any]) -> Config:
  """The inverse of `to_dict`.

  A field that is missing was added after the file was written: it takes its
  default, which does what was done before there was such a field.

  Raises:
    ValueError: unknown fields (a file of a newer version), a value of another
      type than the field's, or one out of bounds.
  """
  return _from_dict(Config, values, "config")


def _from_dict(cls: type, values: Any, path: str):
  if not isinstance(values, dict):
    raise ValueError(f"{path}: {values!r:.60}, expected an object of fields")
  names = {field.name: field for field in dataclasses.fields(cls)}
  unknown = sorted(set(values) - set(names))
  if unknown:
    raise ValueError(f"{path}: unknown {unknown}, valid are {sorted(names)}")
  parts = {
    name: _from_dict(type(names[name].default), value, f"{path}.{name}")
    if dataclasses.is_dataclass(names[name].default)
    else json_files.typed(names[name].type, value, f"{path}.{name}")
    for name, value in values.items()
  }
  return cls(**parts)
