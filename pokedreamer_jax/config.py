"""Frozen configuration of every part, presets and `--set a.b=value`.

Standard library only: reading a configuration wakes no jax. One dataclass per
part; `Config` holds them all and is what a run directory records.
"""

from collections.abc import Sequence
import dataclasses
import math
from typing import Any

from pokedreamer_jax import specs

# RAM tokens and their number of values; larger values are clipped to the last.
# Order matters: a token may depend on those before it (see `tokens.py`).
PRACTICE_TOKENS = (
  "battle:4 dialog:2 menu:2 menu_item:8 map:32 y:64 x:64 facing:4 control:2 "
  "badges:9 capture_items:8 party_size:7 dex_owned:32 level:32 "
  "enemy_species:32 enemy_hp:64 hp:64"
)
POKEMON_RED_TOKENS = (
  "battle:4 dialog:2 menu:2 menu_item:8 map:256 y:160 x:96 facing:4 control:2 "
  "badges:9 capture_items:32 party_size:7 dex_owned:152 level:101 "
  "enemy_species:256 enemy_hp:128 hp:128"
)
# RAM heads and their number of bins (see `ram_heads.py`).
PRACTICE_RAM_HEADS = (
  "hp_share:17 xp:33 badges:9 dex_owned:32 dex_seen:32 enemy_species:32 "
  "enemy_hp:64 enemy_level:32 money:33 event_flags:33"
)
POKEMON_RED_RAM_HEADS = (
  "hp_share:33 xp:65 badges:9 dex_owned:152 dex_seen:152 enemy_species:256 "
  "enemy_hp:128 enemy_level:101 money:65 event_flags:65"
)
# To be added where RAM tokens are off and nothing else says where one is.
PRACTICE_PLACE_HEADS = "map:32 y:64 x:64 facing:4 battle:4 dialog:2"
POKEMON_RED_PLACE_HEADS = "map:256 y:160 x:96 facing:4 battle:4 dialog:2"
REWARDS = ("published", "capped")  # names in `specs.REWARD_WEIGHTS`
RAM_MODES = ("given", "inferred", "off")
CODECS = ("dictionary", "pixels")  # see `codecs.py`
COMPUTE_DTYPES = ("float32", "bfloat16")
MESH_AXES = ("data", "fsdp")  # see `training/mesh.py`
PARAMETER_NAMES = ("kernel", "table", "bias", "scale")  # of the networks
FAMILIES = ("v3", "v2")  # our networks, and the published ones
ACTION_ALIGNMENTS = ("previous", "published")
DETAILS = ("quick", "full")


def _at_least(node: Any, least: int, *names: str) -> None:
  for name in names:
    value = getattr(node, name)
    if value < least:
      raise ValueError(f"{name}: {value}, expected at least {least}")


def _one_of(node: Any, name: str, allowed: Sequence[str]) -> None:
  if getattr(node, name) not in allowed:
    raise ValueError(
      f"{name}: {getattr(node, name)!r}, expected one of {list(allowed)}"
    )


def _sizes(field: str, text: str) -> dict[str, int]:
  """Name -> size of `name:size ...`, in order."""
  sizes: dict[str, int] = {}
  for item in text.split():
    name, _, size = item.partition(":")
    if not size.isdigit() or int(size) < 2:
      raise ValueError(f"{field}: {item!r}, expected name:size with size >= 2")
    if name in sizes:
      raise ValueError(f"{field}: {name!r} is there twice")
    sizes[name] = int(size)
  return sizes


@dataclasses.dataclass(frozen=True)
class CollectConfig:
  """What is recorded from the emulator."""

  episodes: int = 160
  episode_length: int = 512  # env steps at most, the first row included
  # Share of episodes per behaviour: `name[:eps=probability]=share`.
  # Noise in a demonstrator's episode shows how it recovers, and what the
  # world does when it is not led; random players stay near the start.
  policy_mix: str = (
    "demonstrator:eps=0.1=0.3,demonstrator:eps=0.3=0.3,"
    "demonstrator:eps=0.6=0.2,sticky_random=0.1,random=0.1"
  )
  # Share of episodes per start state: `power_on`, `<world>/<name>` or a file,
  # as in `power_on=0.5,great_vale/first_badge=0.5`; empty is power-on.
  start_states: str = ""
  workers: int = 2  # processes
  jitter_frames: int = 60  # no-op frames before an episode, uniform in 0..this
  shard_mib: int = 64  # a shard is closed at this size ...
  shard_s: int = 60  # ... or at this age

  def __post_init__(self):
    _at_least(self, 1, "episodes", "workers", "shard_mib", "shard_s")
    _at_least(self, 2, "episode_length")
    _at_least(self, 0, "jitter_frames")


@dataclasses.dataclass(frozen=True)
class WorldModelConfig:
  """Sizes and loss weights of the world model."""

  # State.
  deter: int = 256  # GRU units
  stoch: int = 16  # categorical variables
  classes: int = 16  # classes of each
  tokens: str = PRACTICE_TOKENS  # RAM variables in the state, `name:size`
  ram: str = "given"  # tokens of observed frames: given, inferred or off
  # Memory variables read off the features, `name:size` (see `ram_heads.py`).
  ram_heads: str = ""
  ram_heads_gradient: bool = True  # whether their loss shapes the features
  # Networks.
  hidden: int = 256  # units of every hidden layer
  encoder: str = "dictionary"  # frames come in as tile numbers or as pixels
  decoder: str = "dictionary"  # and go out so
  tile_vocab: int = 400  # tiles in the dictionary, the escape not counted
  tile_units: int = 32  # embedding of an 8x8 tile
  block_units: int = 32  # embedding of a 16x16 block of 2x2 tiles
  unimix: float = 0.01  # uniform share of every categorical (DreamerV3)
  # What the networks calculate in; parameters, losses and what leaves a network
  # are float32. bfloat16 pays on accelerators, and on a CPU costs time.
  compute_dtype: str = "float32"
  # Loss weights; image and token losses are sums of nats per frame.
  image_scale: float = 0.2
  token_scale: float = 2.0
  infer_scale: float = 0.5  # tokens guessed from pixels
  dyn_scale: float = 1.0
  rep_scale: float = 0.1
  free_nats: float = 0.1
  reward_scale: float = 1.0
  cont_scale: float = 1.0
  ram_scale: float = 1.0  # of the sum over all RAM heads
  family: str = "v3"
  # Which action a row's step takes: that of the row before, or the row's own,
  # chosen after its frame, as the published weights were trained.
  action_alignment: str = "previous"
  # Family v2 alone; it takes no tokens, tiles, unimix and loss weights.
  channels: int = 32  # of the first halving; doubled by each of three more
  head_units: int = 256  # hidden units of the reward and continue heads
  # Of the KL, in nats, beside the mean squared error of a pixel, which is 0.13
  # for one grey picture: as published, 1, latents soon hold next to nothing.
  kl_scale: float = 1.0
  kl_alpha: float = 0.8  # share of the KL that trains the prior
  # Gumbel-softmax in training, linear from start to end over so many updates;
  # a start of 0 is the plain straight-through gradient.
  temperature_start: float = 1.0
  temperature_end: float = 1.0
  temperature_steps: int = 0

  def __post_init__(self):
    _at_least(self, 1, "deter", "stoch", "hidden", "tile_vocab")
    _at_least(self, 1, "tile_units", "block_units")
    self._check_family()
    _at_least(self, 2, "classes")
    _one_of(self, "ram", RAM_MODES)
    _one_of(self, "encoder", CODECS)
    _one_of(self, "decoder", CODECS)
    _one_of(self, "compute_dtype", COMPUTE_DTYPES)
    # Without a uniform share a probability of 0 makes the KL infinite.
    if not 0.0 < self.unimix < 1.0:
      raise ValueError(
        f"world_model.unimix: {self.unimix}, expected between 0 and 1"
      )
    _sizes("world_model.tokens", self.tokens)  # raises where unreadable
    _ = self.ram_head_sizes

  def _check_family(self) -> None:
    _one_of(self, "family", FAMILIES)
    _one_of(self, "action_alignment", ACTION_ALIGNMENTS)
    _at_least(self, 1, "channels", "head_units")
    _at_least(self, 0, "temperature_steps", "kl_scale")
    if self.family == "v2" and self.ram != "off":
      raise ValueError(
        f"world_model.ram: {self.ram!r}, family v2 has no RAM tokens, "
        "expected 'off' (set it before the family)"
      )
    if self.family == "v2" and self.compute_dtype != "float32":
      raise ValueError(
        f"world_model.compute_dtype: {self.compute_dtype!r}, family v2 "
        "calculates as published, expected 'float32'"
      )
    if not 0.0 <= self.kl_alpha <= 1.0:
      raise ValueError(f"world_model.kl_alpha: {self.kl_alpha}, expected 0..1")
    _at_least(self, 0, "temperature_start")
    if self.temperature_end <= 0.0:
      raise ValueError(
        f"world_model.temperature_end: {self.temperature_end}, expected above 0"
      )

  def check_reward_terms(self) -> None:
    """Raises ValueError where dreams cannot be judged by reward terms."""
    if self.family == "v2":
      raise ValueError(
        "world_model.family: 'v2' predicts one scalar reward, not the "
        f"{specs.NUM_REWARD_TERMS} reward terms that policies are trained on, "
        "expected 'v3'"
      )

  @property
  def token_sizes(self) -> dict[str, int]:
    """Name -> number of values, in order; empty where RAM is off."""
    if self.ram == "off":
      return {}
    return _sizes("world_model.tokens", self.tokens)

  @property
  def ram_head_sizes(self) -> dict[str, int]:
    """Name -> number of bins of every RAM head, in order."""
    return _sizes("world_model.ram_heads", self.ram_heads)

  @property
  def has_dictionary(self) -> bool:
    """Whether frames go through the tile dictionary, in or out."""
    tiled = "dictionary" in (self.encoder, self.decoder)
    return tiled and self.family == "v3"

  @property
  def token_dim(self) -> int:
    """Length `R` of the concatenated one-hot tokens."""
    return sum(self.token_sizes.values())

  @property
  def stoch_dim(self) -> int:
    """Length of the flattened categorical state."""
    return self.stoch * self.classes

  @property
  def feat_dim(self) -> int:
    """Length `F` of the features that heads and policies read."""
    return self.deter + self.stoch_dim + self.token_dim


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
  decode_rows: int = 32  # rows decoded per update; the rest only steer h
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

  def __post_init__(self):
    _at_least(self, 0, "cache_mib")
    _at_least(self, 1, "steps", "batch_size", "decode_rows", "eval_windows")
    _at_least(self, 1, "log_every", "save_every")
    _at_least(self, 0, "warmup_steps", "learning_rate", "refresh_every")
    _at_least(self, 0, "epochs", "max_files", "eval_every")
    if self.max_files and self.refresh_every:
      raise ValueError(
        f"train.max_files: {self.max_files}, expected 0 where new data is "
        f"adopted (train.refresh_every: {self.refresh_every})"
      )
    _at_least(self, 0, "agc", "clip_norm", "weight_decay")
    _at_least(self, 2, "seq_len")
    if not set(self.decay_name_set) <= set(PARAMETER_NAMES):
      raise ValueError(
        f"train.decay_names: {self.decay_names!r}, expected some of "
        + ", ".join(PARAMETER_NAMES)
      )
    if not 0 <= self.burn_in < self.seq_len:
      raise ValueError(f"train.burn_in: {self.burn_in}, expected 0..seq_len-1")
    if not 0.0 <= self.decay_share <= 1.0:
      raise ValueError(f"train.decay_share: {self.decay_share}, expected 0..1")

    _ = self.mesh_sizes  # raises where it cannot be read

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
  def decay_name_set(self) -> frozenset[str]:
    """The names in `decay_names`."""
    return frozenset(name.strip() for name in self.decay_names.split(","))


@dataclasses.dataclass(frozen=True)
class LatentsConfig:
  """Posterior states of recorded episodes, kept for cloning and dreams."""

  streams: int = 16  # episodes encoded side by side
  chunk: int = 64  # rows per call; the state is carried between calls
  max_rows: int = 400_000  # whole episodes, drawn by seed, up to this many

  def __post_init__(self):
    _at_least(self, 1, "streams", "chunk", "max_rows")


@dataclasses.dataclass(frozen=True)
class ActorCriticConfig:
  """Sizes shared by the clone and the policy that starts from it."""

  family: str = "v3"  # v2: the published actor and critic, without goals
  units: int = 256  # of both hidden layers
  goal_dim: int = 64
  unimix: float = 0.01  # uniform share of the policy: log-ratios stay bounded
  bins: int = 63  # two-hot bins of the critic
  symlog_limit: float = 5.0  # outermost bins at +-symexp(this), +-147

  def __post_init__(self):
    _one_of(self, "family", FAMILIES)
    _at_least(self, 1, "units", "goal_dim")
    if self.bins < 3 or self.bins % 2 == 0:
      raise ValueError(
        f"actor_critic.bins: {self.bins}, expected an odd number from 3"
      )
    if not 0.0 <= self.unimix < 1.0:
      raise ValueError(f"actor_critic.unimix: {self.unimix}, expected 0..1")


@dataclasses.dataclass(frozen=True)
class CloneConfig:
  """Behaviour cloning of demonstrations on posterior states."""

  # Whose choices are imitated, comma-separated names of `specs.BEHAVIOURS`.
  sources: str = "demonstrator,human"
  steps: int = 2000
  batch_size: int = 512  # rows
  learning_rate: float = 1e-3
  # Share of the features hidden in training. On 12,000 rows of the practice
  # cartridge 0.5 took the held-out loss from 0.74 to 0.39 nats: without it the
  # clone learns the one-hot tokens of single steps by heart.
  dropout: float = 0.5
  max_grad_norm: float = 1.0
  label_smoothing: float = 0.0
  log_every: int = 100  # train steps
  save_every: int = 1000  # train steps

  def __post_init__(self):
    _at_least(self, 1, "steps", "batch_size", "log_every", "save_every")
    if not 0.0 <= self.dropout < 1.0:
      raise ValueError(f"clone.dropout: {self.dropout}, expected 0..1, not 1")
    allowed = [name for name in specs.BEHAVIOURS if name != "none"]
    names = self.source_names
    if len(set(names)) < len(names) or not set(names) <= set(allowed):
      raise ValueError(
        f"clone.sources: {self.sources!r}, expected different ones of "
        + ", ".join(allowed)
      )

  @property
  def source_names(self) -> tuple[str, ...]:
    """The names in `sources`."""
    return tuple(name.strip() for name in self.sources.split(","))


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
  """PPO inside imagined rollouts."""

  updates: int = 150  # dream batches
  critic_warmup: int = 15  # dream batches before the first actor update
  starts: int = 256  # dreams per batch, N
  horizon: int = 15  # imagined steps, L
  epochs: int = 3  # passes over one dream batch
  minibatches: int = 4
  gamma: float = 0.99
  lambda_: float = 0.95
  clip: float = 0.2
  learning_rate: float = 3e-4
  critic_learning_rate: float = 1e-3
  entropy_scale: float = 3e-3
  # KL to the clone at the first update and at the last (linear between). With
  # 0.1 to 0.02 the policy leaves the recorded states behind, where neither the
  # model nor the caps on the reward hold: it grinds and gets no badge.
  kl_scale: float = 0.5
  kl_final: float = 0.5
  max_grad_norm: float = 0.5
  # Advantages are divided by their deviation over the batch, but never by less
  # than this: where nothing happens, noise must not be blown up.
  advantage_floor: float = 0.1
  # `published` pays grinding wild battles more than finishing the game, and
  # PPO finds that out: `capped` is what the policy is trained on.
  reward: str = "capped"
  log_every: int = 5
  save_every: int = 50
  scratch_updates: int = 150  # the second run of the quickstart, no clone

  def __post_init__(self):
    _at_least(
      self,
      1,
      "updates",
      "starts",
      "horizon",
      "epochs",
      "minibatches",
      "log_every",
      "save_every",
      "scratch_updates",
    )
    _at_least(self, 0, "critic_warmup")
    _one_of(self, "reward", sorted(REWARDS))
    if self.starts * self.horizon % self.minibatches:
      raise ValueError(
        f"policy.minibatches: {self.minibatches}, expected a divisor of "
        f"starts * horizon = {self.starts * self.horizon}"
      )


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
  """What is measured at the end."""

  episodes: int = 24  # paired emulator episodes per policy
  windows: int = 200  # held-out open-loop windows
  context: int = 8  # posterior rows before the open loop
  horizon: int = 50  # open-loop rows
  bootstrap: int = 2000  # resamples of a paired interval
  # Of a world model: `full` adds calm windows and long carried states.
  detail: str = "full"
  carried_rows: int = 1000  # that a carried state has seen
  long_episodes: int = 12  # in which it is carried
  greedy: bool = False  # take the most likely action instead of sampling

  def __post_init__(self):
    _at_least(self, 2, "episodes", "windows")
    _at_least(self, 1, "context", "bootstrap")
    _at_least(self, 5, "horizon")  # the first step that tables speak of
    _one_of(self, "detail", DETAILS)
    _at_least(self, self.context, "carried_rows")
    _at_least(self, 2, "long_episodes")


@dataclasses.dataclass(frozen=True)
class Config:
  """Everything that decides a run."""

  preset: str = "tiny"
  seed: int = 0
  collect: CollectConfig = CollectConfig()
  world_model: WorldModelConfig = WorldModelConfig()
  train: TrainConfig = TrainConfig()
  latents: LatentsConfig = LatentsConfig()
  actor_critic: ActorCriticConfig = ActorCriticConfig()
  clone: CloneConfig = CloneConfig()
  policy: PolicyConfig = PolicyConfig()
  evaluate: EvaluateConfig = EvaluateConfig()


def _tiny() -> Config:
  """The quickstart on a laptop: `make quickstart`, 2 CPU cores, 2 GiB.

  Expect, over seeds 0 to 2: dreams with 0.53 to 0.56 of the frames exact and
  2.7 to 3.0 tiles off at 50 steps (the emulator with other luck: 0.59 to 0.65
  and 1.7 to 2.2), a clone with a return of 24 to 25 and a policy with 24.5 to
  26, both with the badge in every episode.
  """
  return Config(preset="tiny")


def _debug() -> Config:
  """Wiring only, does not learn: `--preset=debug`, under 2 minutes."""
  return Config(
    preset="debug",
    collect=CollectConfig(
      episodes=8,
      episode_length=96,
      policy_mix="demonstrator:eps=0.2=0.5,sticky_random=0.25,random=0.25",
    ),
    world_model=WorldModelConfig(
      deter=32, stoch=4, classes=4, hidden=32, tile_units=8, block_units=8
    ),
    train=TrainConfig(
      steps=20,
      batch_size=4,
      seq_len=8,
      decode_rows=8,
      log_every=5,
      eval_every=20,
      save_every=10,
      eval_windows=4,
    ),
    latents=LatentsConfig(streams=4, chunk=32),
    actor_critic=ActorCriticConfig(units=32, goal_dim=8, bins=21),
    clone=CloneConfig(steps=20, batch_size=32, log_every=5, save_every=10),
    policy=PolicyConfig(
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
    evaluate=EvaluateConfig(
      episodes=4,
      windows=8,
      context=4,
      horizon=16,
      bootstrap=200,
      carried_rows=40,
      long_episodes=2,
    ),
  )


def _small() -> Config:
  """The great vale on one GPU, or on a patient CPU. Not measured yet.

      python -m experiments.quickstart --preset=small \\
        --rom=data_tools/cartridge/great_vale.gb --workdir=runs/small

  The dictionary holds 1,200 tiles, 99.86 % of those seen in that world.
  """
  return Config(
    preset="small",
    collect=CollectConfig(episodes=400, episode_length=1024),
    world_model=WorldModelConfig(
      deter=512,
      stoch=32,
      classes=32,
      hidden=512,
      tile_vocab=1200,
      tile_units=48,
      block_units=48,
      ram_heads=PRACTICE_RAM_HEADS,
    ),
    train=TrainConfig(
      steps=20_000,
      mesh="data=-1,fsdp=1",
      batch_size=16,
      seq_len=32,
      burn_in=8,
      decode_rows=64,
      learning_rate=1e-3,
      warmup_steps=500,
      save_every=1000,
      eval_every=5000,
    ),
    actor_critic=ActorCriticConfig(units=512),
  )


def _v3() -> Config:
  """Whole games, pixel by pixel, on one or more accelerators. Not measured yet.

      python -m experiments.train_rssm --preset=v3 \\
        --data_dir=runs/red/data --workdir=runs/red/world_model

  Sized for the memory of Pokemon Red, and for accelerators: several share the
  work by `train.mesh`. Its parameters take 184 MB.
  """
  return Config(
    preset="v3",
    collect=CollectConfig(episodes=1000, episode_length=2048),
    world_model=WorldModelConfig(
      deter=1024,
      stoch=32,
      classes=64,
      tokens=POKEMON_RED_TOKENS,
      hidden=640,
      encoder="pixels",
      decoder="pixels",
      tile_units=64,
      block_units=40,
      ram_heads=POKEMON_RED_RAM_HEADS,
      compute_dtype="bfloat16",
      image_scale=0.01,  # a frame is 23,040 pixels here, not 360 tiles
    ),
    train=TrainConfig(
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
    actor_critic=ActorCriticConfig(units=512),
  )


def _v2() -> Config:
  """The published networks and losses: `train_rssm --preset=v2`.

  For comparison and for imported checkpoints; 56.7 million parameters. Made
  for an accelerator: on 2 busy CPU cores an update with `train.batch_size=1`
  took 4.3 s, and after the 40 that were tried the frames were still worse than
  one grey picture. Policies are not trained on it: it predicts one scalar
  reward, not the reward terms.
  """
  batch_size, seq_len = 4, 15
  return Config(
    preset="v2",
    world_model=WorldModelConfig(
      family="v2",
      ram="off",
      deter=512,
      stoch=32,
      classes=32,
      hidden=512,
      temperature_start=1.0,
      temperature_end=0.5,
      temperature_steps=10_000,
    ),
    train=TrainConfig(
      batch_size=batch_size,
      seq_len=seq_len,
      decode_rows=batch_size * seq_len,
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
  "small": _small,
  "v3": _v3,
  "v2": _v2,
}


def make(preset: str, overrides: Sequence[str] = (), seed: int = 0) -> Config:
  """The configuration of a preset with `part.field=value` overrides.

  Raises:
    ValueError: an unknown preset or field (the valid names are listed), or a
      value of the wrong type.
  """
  if preset not in PRESETS:
    raise ValueError(f"preset: {preset!r}, expected one of {sorted(PRESETS)}")
  config = dataclasses.replace(PRESETS[preset](), seed=seed)
  for item in overrides:
    path, equals, text = item.partition("=")
    if not equals:
      raise ValueError(f"--set {item!r}: expected part.field=value")
    config = _set(config, path.strip().split("."), text.strip(), path)
  return config


def to_dict(config: Any) -> dict[str, Any]:
  """Nested plain dictionary, ready for JSON."""
  return dataclasses.asdict(config)


def from_dict(values: dict[str, Any]) -> Config:
  """The inverse of `to_dict`.

  A field that is missing was added after the file was written: it takes its
  default, which does what was done before there was such a field.

  Raises:
    ValueError: unknown fields (a file of a newer version).
  """
  return _from_dict(Config, values, "config")


def _from_dict(cls: type, values: dict[str, Any], path: str):
  names = {field.name: field for field in dataclasses.fields(cls)}
  unknown = sorted(set(values) - set(names))
  if unknown:
    raise ValueError(f"{path}: unknown {unknown}, valid are {sorted(names)}")
  parts = {
    name: _from_dict(type(names[name].default), value, f"{path}.{name}")
    if dataclasses.is_dataclass(names[name].default)
    else value
    for name, value in values.items()
  }
  return cls(**parts)


def _set(node: Any, names: list[str], text: str, path: str) -> Any:
  valid = [field.name for field in dataclasses.fields(node)]
  name = names[0]
  if name not in valid:
    raise ValueError(f"--set {path}: unknown {name!r}, expected one of {valid}")
  value = getattr(node, name)
  if dataclasses.is_dataclass(value):
    if len(names) == 1:
      inner = [field.name for field in dataclasses.fields(value)]
      raise ValueError(f"--set {path}: name a field of it, one of {inner}")
    new = _set(value, names[1:], text, path)
  elif len(names) > 1:
    raise ValueError(f"--set {path}: {name!r} has no fields")
  else:
    new = _parse(text, type(value), path)
  return dataclasses.replace(node, **{name: new})


def _parse(text: str, kind: type, path: str) -> Any:
  if kind is bool:
    if text.lower() not in ("true", "false"):
      raise ValueError(f"--set {path}: {text!r}, expected true or false")
    return text.lower() == "true"
  try:
    value = kind(text)
  except ValueError:
    raise ValueError(
      f"--set {path}: {text!r}, expected {kind.__name__}"
    ) from None
  if kind is float and not math.isfinite(value):
    raise ValueError(f"--set {path}: {text!r}, expected a finite number")
  return value
