"""Configuration of the agent: latents to learn from, networks, clone, policy.

Standard library only, as all configuration (`config.py`).
"""

import dataclasses

from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.config import bounds
from pokedreamer_jax.config import world_model as world_model_config

ON_ALARM = ("go_on", "stop")  # where dreams and game part
ALGORITHMS = ("ppo", "grpo", "reinforce", "pmpo")
NORMALISERS = ("auto", "deviation", "percentile")
REWARDS = ("published", "capped", "progress")  # names in `specs.REWARD_WEIGHTS`


@dataclasses.dataclass(frozen=True)
class LatentsConfig:
  """Posterior states of recorded episodes, kept for cloning and dreams."""

  streams: int = 16  # episodes encoded side by side
  chunk: int = 64  # rows per call; the state is carried between calls
  max_rows: int = 400_000  # whole episodes, drawn by seed, up to this many
  # Of these as many as there are, up to this share, of policies' own play:
  # dreams that start where play went wrong are where it is mended.
  own_share: float = 0.0

  def __post_init__(self):
    bounds.at_least(self, 1, "streams", "chunk", "max_rows")
    if not 0 <= self.own_share <= 1:
      raise ValueError(f"latents.own_share: {self.own_share}, expected 0 to 1")


@dataclasses.dataclass(frozen=True)
class ActorCriticConfig:
  """Sizes shared by the clone and the policy that starts from it."""

  family: str = "v3"  # v2: the published actor and critic, without goals
  units: int = 256  # of both hidden layers
  goal_dim: int = 64
  # Whether both also read what the episode has reached: maps visited, highest
  # level (see `world_model/progress.py`), which bound what rewards pay.
  reads_progress: bool = False
  # Whether both read a goal (see `GoalsConfig`): with none they do as without.
  reads_goal: bool = False
  # Whether, beside a goal that names a cell, also how far off that cell is (see
  # `behaviour/goal_offsets.py`).
  reads_offset: bool = False
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
    if self.reads_goal and self.goal_dim != goal_embeddings.DIM:
      raise ValueError(
        f"actor_critic.goal_dim: {self.goal_dim}, goals have "
        f"{goal_embeddings.DIM} numbers (actor_critic.reads_goal), expected "
        f"{goal_embeddings.DIM}"
      )
    if self.reads_offset and not self.reads_goal:
      raise ValueError(
        "actor_critic.reads_offset: True, there is no goal without "
        "actor_critic.reads_goal, expected False"
      )
    if self.reads_goal and self.family == "v2":
      raise ValueError(
        "actor_critic.reads_goal: True, family v2 reads features alone, "
        "expected False"
      )
    if self.bins < 3 or self.bins % 2 == 0:
      raise ValueError(
        f"actor_critic.bins: {self.bins}, expected an odd number from 3"
      )
    if not 0.0 <= self.unimix < 1.0:
      raise ValueError(f"actor_critic.unimix: {self.unimix}, expected 0..1")


@dataclasses.dataclass(frozen=True)
class GoalsConfig:
  """What rows and dreams are asked to reach, where `reads_goal` is on.

  Each draws: no goal, the next milestone of its episode, or any goal that its
  episode reaches within a horizon (`data_tools/game/goal_labels.py`).
  """

  none: float = 0.2  # share without a goal
  milestone: float = 0.1  # share with the next milestone; the rest in hindsight
  # Whether a milestone is what a planner would name there: the next map on the
  # way as well, the story, and species by their number.
  errands: bool = False
  horizon: int = 20  # env steps; little more than a dream is long
  # Of hindsight goals: weights of the kinds that can be reached from a row.
  # Tiles and maps most, for there are many of them.
  kinds: str = (
    "tile=6,map=4,heal=2,catch=2,own=1,level=1,item=1,talk=1,story=1,explore=1,"
    "win=1,win_wild=1,win_trainer=1,win_leader=1,badge=1"
  )
  draws: int = 4  # hindsight goals that are kept of each row
  # Share of dreams that are asked for what was reached from the same cell at
  # another time: what their own row led to is what a policy does anyway.
  other: float = 0.6
  # Share of dreams that are asked for a cell nearby, or for the map behind a
  # door nearby, to which somebody walked on from their own cell, and how many
  # steps away it is at most: what a planner leads by, and what own episodes
  # offer least where they have gone astray.
  walks: float = 0.0
  walk_steps: int = 12
  # Share of dreams that draw a kind, each alike, and then a row from which such
  # a goal was reached: badges and trainers come once an episode.
  even: float = 0.0
  # Paid in a dream that reaches its goal, which ends there; nothing else is.
  reward: float = 1.0

  def __post_init__(self):
    bounds.at_least(self, 1, "horizon", "draws", "walk_steps")
    for name in ("none", "milestone", "other", "walks", "even"):
      value = getattr(self, name)
      if not 0.0 <= value <= 1.0:
        raise ValueError(f"goals.{name}: {value}, expected 0..1")
    if self.none + self.milestone > 1.0:
      raise ValueError(
        f"goals.milestone: {self.milestone}, expected at most 1 - goals.none = "
        f"{1.0 - self.none:g}"
      )
    if not self.reward > 0.0:
      raise ValueError(f"goals.reward: {self.reward}, expected more than 0")
    _ = self.kind_weights  # raises where it cannot be read

  @property
  def kind_weights(self) -> dict[str, float]:
    """The weights in `kinds`."""
    found = {}
    for item in self.kinds.split(","):
      name, _, weight = item.strip().partition("=")
      try:
        value = float(weight)
      except ValueError:
        value = -1.0
      if (
        name not in goal_specs.PREDICATES
        or name in found
        or not 0.0 <= value < float("inf")
      ):
        raise ValueError(
          f"goals.kinds: {item.strip()!r}, expected different ones of "
          f"{', '.join(goal_specs.PREDICATES)}, each as in map=2"
        )
      found[name] = value
    return found


@dataclasses.dataclass(frozen=True)
class CloneConfig:
  """Behaviour cloning of demonstrations on posterior states."""

  # Whose choices are imitated, comma-separated names of `specs.BEHAVIOURS`.
  sources: str = "demonstrator,human"
  # Of what they demonstrated, the first so many rows; 0: all of them.
  max_rows: int = 0
  # Of the quickstart: its policy begins as a clone of so few rows, and a clone
  # of all stands beside it; 0: as the clone of all, the only one.
  few_rows: int = 0
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
    bounds.at_least(self, 0, "max_rows", "few_rows")
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
class AllGoalsConfig:
  """Values of all goals at once, learned from recorded rows."""

  steps: int = 2000  # updates
  batch_size: int = 64  # recorded sequences
  length: int = 4  # steps of a sequence
  units: int = 256  # of both hidden layers
  learning_rate: float = 1e-3
  max_grad_norm: float = 1.0
  # Share of the inputs hidden in training, as `clone.dropout`.
  dropout: float = 0.0
  # Per step: a goal 15 steps away is worth .65, one 50 steps away .22.
  gamma: float = 0.97
  # Of the values of logged actions, see `behaviour/all_goals.py`: 0.5 is what
  # was played, towards 1 the best of it. It rises to this from 0.5 in the first
  # updates: before a network tells states from each other an expectile is one
  # of states as well, and its own targets carry that further and further.
  expectile: float = 0.7
  expectile_ramp: int = 1000  # updates
  # How far the copy that targets are read from follows with each update.
  slow_rate: float = 0.1
  # Beside the goals of the cartridge, so many of the tiles that the training
  # episodes came to most often.
  tiles: int = 0
  log_every: int = 50
  save_every: int = 500

  def __post_init__(self):
    names = ("steps", "batch_size", "length", "units", "log_every")
    bounds.at_least(self, 1, *names, "save_every")
    bounds.at_least(self, 0, "tiles", "learning_rate", "max_grad_norm")
    bounds.at_least(self, 0, "expectile_ramp")
    for name, low in (("gamma", 0.0), ("dropout", 0.0), ("expectile", 0.5)):
      value = getattr(self, name)
      if not low <= value < 1.0:
        raise ValueError(
          f"all_goals.{name}: {value}, expected {low:g}..1, not 1"
        )
    if not 0.0 < self.slow_rate <= 1.0:
      raise ValueError(
        f"all_goals.slow_rate: {self.slow_rate}, expected 0..1, not 0"
      )


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
  """Learning inside imagined rollouts."""

  algorithm: str = "ppo"
  updates: int = 150  # dream batches
  critic_warmup: int = 15  # dream batches before the first actor update
  starts: int = 256  # dreams per batch, N
  # Share of the dreams that start shortly before recorded events, see
  # `event_starts.py`; the others start anywhere.
  event_starts: float = 0.0
  # Share of the dreams that begin where the policy's own dreams lead within
  # `ahead_steps` of a recorded row, see `ahead_starts.py`.
  ahead_starts: float = 0.0
  ahead_steps: int = 60
  horizon: int = 15  # imagined steps, L
  epochs: int = 3  # passes over one dream batch; of a `reinforce` actor one
  minibatches: int = 4
  gamma: float = 0.99
  lambda_: float = 0.95
  clip: float = 0.2  # of `ppo` and `grpo`: how far a ratio counts below 1 ...
  clip_high: float = 0.0  # ... and above 1; 0: as far as below
  learning_rate: float = 3e-4
  critic_learning_rate: float = 1e-3
  entropy_scale: float = 3e-3
  # KL to the clone at the first update and at the last (linear between). With
  # 0.1 to 0.02 the policy leaves the recorded states behind, where neither the
  # model nor the caps on the reward hold: it grinds and gets no badge. `pmpo`
  # has `pmpo_beta` instead.
  kl_scale: float = 0.5
  kl_final: float = 0.5
  # Of any algorithm the least weight in states of a battle; 0: as everywhere.
  # Under goals policies of the great vale fled and fought worse than the clone:
  # what a fight costs later lies beyond a dream's horizon.
  kl_battle: float = 0.0
  max_grad_norm: float = 0.5
  # Weight of the critic's loss on recorded sequences, see `replay.py`.
  replay_scale: float = 0.0
  # Of the critic that bootstraps returns: how far it follows the one that is
  # trained with each of its steps. 0: they are one. Hafner et al. (2023): 0.02.
  slow_critic_rate: float = 0.0
  # What `ppo` and `reinforce` divide advantages by: their deviation over the
  # batch, or the moving range of returns; auto: what the algorithm is known
  # with, the deviation for `ppo` and the range for `reinforce`.
  normalise: str = "auto"
  # Advantages are divided by their deviation over the batch (`grpo`: over the
  # group), but never by less than this: where nothing happens, noise must not
  # be blown up.
  advantage_floor: float = 0.1
  # Of `grpo`: dreams from one start, of `starts` in all; and whether what the
  # critic thinks of a dream's last state counts as earned.
  group_size: int = 8
  group_bootstrap: bool = True
  # Of `pmpo`, as published: the share of what was good, and the weight of the
  # divergence from the clone.
  pmpo_alpha: float = 0.5
  pmpo_beta: float = 0.3
  # `published` pays grinding wild battles more than finishing the game, and
  # PPO finds that out: `capped` is what the policy is trained on.
  reward: str = "capped"
  # Weights of one's own in place of those of `reward`, without caps, of
  # `specs.REWARD_TERMS` and `level`: "badges=10,new_maps=0.5,level=0.5"; terms
  # that are not named pay nothing. Empty: `reward`.
  reward_weights: str = ""
  # One term of the objective that is paid alone, a name of
  # `specs.REWARD_TERMS` or `level`; empty: all of them. What a policy does for
  # one alone shows whether that can be farmed.
  only_term: str = ""
  # Updates from one look at honesty to the next: what the policy gains over the
  # one it began as, in dreams and in the emulator, from the same rows of
  # held-out episodes. 0: never. Nothing is taught by it.
  honesty_every: int = 0
  # Of a look: the rows, half of them before events; games from each; and the
  # last row of an episode that a game is entered at.
  honesty_starts: int = 48
  honesty_plays: int = 2
  honesty_most_row: int = 250
  # What happens where a look finds that dreams and game part: go_on says so;
  # stop ends the training, and the policy is the one of the look with the
  # largest gain in the game.
  on_alarm: str = "go_on"
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
      "ahead_steps",
      "epochs",
      "minibatches",
      "log_every",
      "save_every",
    )
    bounds.at_least(self, 0, "critic_warmup", "scratch_updates")
    bounds.at_least(self, 0, "honesty_every", "honesty_most_row")
    bounds.at_least(self, 1, "honesty_plays")
    bounds.at_least(self, 2, "honesty_starts")
    bounds.one_of(self, "on_alarm", ON_ALARM)
    if self.on_alarm != "go_on" and not self.honesty_every:
      raise ValueError(
        f"policy.on_alarm: {self.on_alarm!r}, nobody looks with "
        "policy.honesty_every 0, expected 'go_on' or more updates"
      )
    bounds.at_least(self, 0, "replay_scale", "advantage_floor", "pmpo_beta")
    bounds.at_least(self, 0, "kl_battle")
    bounds.one_of(self, "reward", sorted(REWARDS))
    try:
      paid = specs.paid_terms(self.objective)
    except ValueError as error:
      text = str(error).removeprefix("reward: ")
      raise ValueError(f"policy.reward_weights: {text}") from None
    if not paid:
      raise ValueError(
        f"policy.reward_weights: {self.reward_weights!r} pays nothing, "
        "expected a weight other than 0"
      )
    if self.only_term and self.only_term not in paid:
      raise ValueError(
        f"policy.only_term: {self.only_term!r}, expected one of those that "
        f"{self.reward_weights or self.reward!r} pays: {', '.join(paid)}"
      )
    bounds.one_of(self, "algorithm", ALGORITHMS)
    bounds.one_of(self, "normalise", NORMALISERS)
    shares = ("gamma", "lambda_", "slow_critic_rate", "pmpo_alpha")
    for name in (*shares, "event_starts", "ahead_starts"):
      value = getattr(self, name)
      if not 0.0 <= value <= 1.0:
        raise ValueError(f"policy.{name}: {value}, expected 0..1")
    self._check_readers()
    if self.clip_high and self.clip_high < self.clip:
      raise ValueError(
        f"policy.clip_high: {self.clip_high}, expected 0 or at least "
        f"policy.clip = {self.clip}"
      )
    if self.algorithm == "grpo" and (
      self.group_size < 2 or self.starts % self.group_size
    ):
      raise ValueError(
        f"policy.group_size: {self.group_size}, expected a divisor of "
        f"policy.starts = {self.starts}, at least 2"
      )
    if self.starts * self.horizon % self.minibatches:
      raise ValueError(
        f"policy.minibatches: {self.minibatches}, expected a divisor of "
        f"starts * horizon = {self.starts * self.horizon}"
      )

  def _check_readers(self) -> None:
    """Refuses a choice that the algorithm would not read."""
    defaults = {field.name: field.default for field in dataclasses.fields(self)}
    for name, readers in _READERS.items():
      value, default = getattr(self, name), defaults[name]
      if self.algorithm not in readers and value != default:
        raise ValueError(
          f"policy.{name}: {value!r}, expected {default!r} with "
          f"policy.algorithm {self.algorithm!r}: only {' and '.join(readers)} "
          "read it"
        )

  @property
  def objective(self) -> specs.Objective:
    """What is paid, as `specs` and the environments take it."""
    if not self.reward_weights:
      return self.reward
    return specs.parse_weights(self.reward_weights)

  @property
  def objective_name(self) -> str:
    """What messages call it."""
    return self.only_term or self.reward_weights or self.reward

  @property
  def term_weights(self) -> dict[str, float]:
    """What each term and a new highest level pays, `only_term` regarded."""
    weights = specs.term_weights(self.objective)
    only = self.only_term
    return {n: w if only in ("", n) else 0.0 for n, w in weights.items()}

  @property
  def normaliser(self) -> str:
    """How advantages are scaled: deviation, percentile, group or none."""
    if self.normalise != "auto":
      return self.normalise
    return {
      "ppo": "deviation",
      "grpo": "group",
      "reinforce": "percentile",
      "pmpo": "none",
    }[self.algorithm]

  @property
  def branches(self) -> int:
    """Dreams from one start."""
    return self.group_size if self.algorithm == "grpo" else 1

  @property
  def actor_epochs(self) -> int:
    """Passes of the actor over one dream batch.

    A plain gradient holds for one; the critic makes `epochs` all the same.
    """
    return 1 if self.algorithm == "reinforce" else self.epochs

  @property
  def clip_above(self) -> float:
    """How far a ratio counts above 1."""
    return self.clip_high or self.clip


# Fields of a policy that some algorithms alone read.
_READERS = {
  "clip_high": ("ppo", "grpo"),
  "normalise": ("ppo", "reinforce"),
  "group_size": ("grpo",),
  "group_bootstrap": ("grpo",),
  "pmpo_alpha": ("pmpo",),
  "pmpo_beta": ("pmpo",),
}
