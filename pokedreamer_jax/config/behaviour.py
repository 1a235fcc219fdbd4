"""Configuration of the agent: latents to learn from, networks, clone, PPO.

Standard library only, as all configuration (`config.py`).
"""

import dataclasses

from pokedreamer_jax import specs
from pokedreamer_jax.config import bounds
from pokedreamer_jax.config import world_model as world_model_config

REWARDS = ("published", "capped", "progress")  # names in `specs.REWARD_WEIGHTS`


@dataclasses.dataclass(frozen=True)
class LatentsConfig:
  """Posterior states of recorded episodes, kept for cloning and dreams."""

  streams: int = 16  # episodes encoded side by side
  chunk: int = 64  # rows per call; the state is carried between calls
  max_rows: int = 400_000  # whole episodes, drawn by seed, up to this many

  def __post_init__(self):
    bounds.at_least(self, 1, "streams", "chunk", "max_rows")


@dataclasses.dataclass(frozen=True)
class ActorCriticConfig:
  """Sizes shared by the clone and the policy that starts from it."""

  family: str = "v3"  # v2: the published actor and critic, without goals
  units: int = 256  # of both hidden layers
  goal_dim: int = 64
  # Whether both also read what the episode has reached: maps visited, highest
  # level (see `world_model/progress.py`), which bound what rewards pay.
  reads_progress: bool = False
  unimix: float = 0.01  # uniform share of the policy: log-ratios stay bounded
  bins: int = 63  # two-hot bins of the critic
  symlog_limit: float = 5.0  # outermost bins at +-symexp(this), +-147

  def __post_init__(self):
    bounds.one_of(self, "family", world_model_config.FAMILIES)
    bounds.at_least(self, 1, "units", "goal_dim")
    if self.reads_progress and self.family == "v2":
      raise ValueError(
        "actor_critic.reads_progress: True, family v2 reads features alone, "
        "expected False"
      )
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
  # Of what they demonstrated, the first so many rows; 0: all of them.
  max_rows: int = 0
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
    bounds.at_least(self, 1, "steps", "batch_size", "log_every", "save_every")
    bounds.at_least(self, 0, "max_rows")
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
  # Weight of the critic's loss on recorded sequences, see `replay.py`.
  replay_scale: float = 0.0
  # Advantages are divided by their deviation over the batch, but never by less
  # than this: where nothing happens, noise must not be blown up.
  advantage_floor: float = 0.1
  # `published` pays grinding wild battles more than finishing the game, and
  # PPO finds that out: `capped` is what the policy is trained on.
  reward: str = "capped"
  log_every: int = 5
  save_every: int = 50
  # The second run of the quickstart, without the clone; 0 leaves it out.
  scratch_updates: int = 150

  def __post_init__(self):
    bounds.at_least(
      self,
      1,
      "updates",
      "starts",
      "horizon",
      "epochs",
      "minibatches",
      "log_every",
      "save_every",
    )
    bounds.at_least(self, 0, "critic_warmup", "scratch_updates")
    bounds.at_least(self, 0, "replay_scale")
    bounds.one_of(self, "reward", sorted(REWARDS))
    if self.starts * self.horizon % self.minibatches:
      raise ValueError(
        f"policy.minibatches: {self.minibatches}, expected a divisor of "
        f"starts * horizon = {self.starts * self.horizon}"
      )
