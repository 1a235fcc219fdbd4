"""Seeded episodes in the emulator, paired across policies, and their measure.

Every policy plays the same seeds from the same start, so that differences are
paired. Scripted players act inside worker processes, where they can read
memory; learned ones act here, batched, in lock-step with the workers.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
from typing import Any

import numpy as np

from data_tools.game import roms
from data_tools.system import children
from experiments.playing import play_traces
from experiments.runs import run_directory
from pokedreamer_jax import specs
from pokedreamer_jax.world_model import statistics

# First step at which each of these was gained.
MILESTONES = ("new_maps", "wild_wins", "species", "trainer_wins", "badges")
# Measures whose paired differences are told beside that of returns: episodes
# with a badge, steps to it (without one, the most there are), wild wins.
COMPARED = ("with_badge", "badge_steps", "wild_wins")
_MAP_BYTES = 32  # one bit for each of 256 maps
_SEED_STREAM = 0xE7A1  # keeps played seeds apart from collected ones

# Called with the episodes or steps done and their total.
Told = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Setting:
  """What all policies share."""

  rom: roms.Rom
  seeds: tuple[int, ...]  # one per episode
  length: int  # env steps at most, the first row included
  jitter_frames: int = 0
  save_state: bytes | None = None  # None: power-on
  workers: int = 2


@dataclasses.dataclass(frozen=True)
class Played:
  """What one policy did in `N` episodes of at most `T` steps."""

  reward_terms: np.ndarray  # [N, T, 8] float32, zero after the end
  steps: np.ndarray  # [N] int64, rows played
  beaten: np.ndarray  # [N] bool, whether the game was beaten
  # [N, 32] uint8, bits of the maps that were seen; None where nobody looked
  visited_maps: np.ndarray | None = None
  traces: play_traces.Traces | None = None  # cells and actions, row by row


@contextlib.contextmanager
def dying_is_told() -> Iterator[None]:
  """Ends a measurement in a line where an emulator process is gone.

  Raises:
    run_directory.Failed: it died, or hung and was ended.
  """
  from data_tools.envs import vector

  try:
    yield
  except vector.Died as error:
    raise run_directory.Failed(
      f"play: {error}; the same command measures anew"
    ) from error


def make_seeds(seed: int, episodes: int) -> tuple[int, ...]:
  """Seeds of `episodes` evaluation episodes."""
  rng = np.random.default_rng([seed, _SEED_STREAM])
  return tuple(int(value) for value in rng.integers(1 << 32, size=episodes))


def play_scripted(
  behaviour: str, setting: Setting, told: Told = lambda done, total: None
) -> Played:
  """Plays a policy of `data_tools.players.policies`, such as "sticky_random".

  Raises:
    ValueError: unknown policy, or not for this ROM.
  """
  from data_tools.players import policies

  policies.make_policy(behaviour, setting.rom)  # complains here, not there
  tasks = [(behaviour, setting, seed) for seed in setting.seeds]
  played = []
  workers = min(setting.workers, len(tasks))
  for episode in children.imap(_play_one, tasks, workers):
    played.append(episode)
    told(len(played), len(tasks))
  return _stack(played, setting.length)


def play_learned(
  agent: Any,
  setting: Setting,
  seed: int = 0,
  greedy: bool = False,
  told: Told = lambda done, total: None,
) -> Played:
  """Plays an `experiments.runs.inputs.Agent`.

  Args:
    agent: parameters and configuration.
    setting: as for all policies.
    seed: of the agent's chance.
    greedy: take the most likely action.
    told: called after every step of all episodes.
  """
  import jax

  from data_tools.envs import vector
  from pokedreamer_jax.behaviour import acting

  act = acting.make_act(
    agent.config, agent.world_params, agent.actor_params, greedy
  )
  count = len(setting.seeds)
  state = acting.init_state(agent.config.world_model, count)
  act_key = jax.random.key(seed)
  terms = np.zeros((count, setting.length, specs.NUM_REWARD_TERMS), np.float32)
  steps = np.zeros(count, np.int64)
  beaten = np.zeros(count, bool)
  visited = np.zeros((count, _MAP_BYTES), np.uint8)
  traces = play_traces.blank(count, setting.length)
  with vector.VectorEmulator(
    setting.rom,
    num_envs=count,
    num_workers=min(setting.workers, count),
    episode_length=setting.length,
    jitter_frames=setting.jitter_frames,
  ) as emulators:
    row = emulators.reset(setting.seeds, setting.save_state)
    running = np.ones(count, bool)
    for t in range(setting.length):
      terms[running, t] = row["reward_terms"][running]
      steps += running
      beaten |= running & row["is_terminal"]
      visited[running] |= row["visited_maps"][running]
      at = (np.flatnonzero(running), t)
      play_traces.put(
        traces, at, {name: row[name][running] for name in play_traces.FIELDS}
      )
      running = running & ~row["is_last"]
      if not running.any():
        break
      state, action = act(
        state,
        row["frame"],
        acting.ram_of(row),
        row["is_first"],
        jax.random.fold_in(act_key, t),
      )
      presses = np.asarray(action, np.uint8)
      traces.action[running, t] = presses[running]
      row = emulators.step(presses)
      told(t + 1, setting.length)
  told(setting.length, setting.length)
  return Played(terms, steps, beaten, visited, traces)


def measure(played: Played, weights: Sequence[float]) -> dict[str, np.ndarray]:
  """Numbers per episode, each `[N]` float64.

  Args:
    played: the episodes; `stuck` and `cells` are of those with traces alone.
    weights: of the reward terms.
  """
  weights_array = np.asarray(weights, np.float64)
  without_wild = np.array(
    [
      0.0 if name in specs.WILD_BATTLE_TERMS else weight
      for name, weight in zip(specs.REWARD_TERMS, weights_array, strict=True)
    ]
  )
  total = played.reward_terms.astype(np.float64).sum(axis=1)  # [N, 8]
  by_name = dict(zip(specs.REWARD_TERMS, total.T, strict=True))
  traced: dict[str, np.ndarray] = {}
  if played.traces is not None:
    stuck, outside = play_traces.stuck(played.traces, played.steps)
    traced |= {"stuck": stuck, "stuck_outside_battles": outside}
    traced["cells"] = play_traces.cells(played.traces, played.steps)
  return {
    "return": total @ weights_array,
    "return_without_wild": total @ without_wild,
    "badges": by_name["badges"],
    "with_badge": (by_name["badges"] > 0).astype(np.float64),
    "species": by_name["species"],
    "maps": by_name["new_maps"],
    "wins": by_name["wild_wins"] + by_name["trainer_wins"],
    "wild_wins": by_name["wild_wins"],
    "trainer_wins": by_name["trainer_wins"],
    "hp_lost": by_name["hp_lost"],
    "steps": played.steps.astype(np.float64),
    "badge_steps": badge_steps(played).astype(np.float64),
    "beaten": played.beaten.astype(np.float64),
    **traced,
  }


def badge_steps(played: Played) -> np.ndarray:
  """Steps to the first badge `[N]` int64; as many as there are without one."""
  earned = played.reward_terms[..., specs.REWARD_TERMS.index("badges")] > 0
  return np.where(earned.any(axis=1), earned.argmax(axis=1), earned.shape[1])


def last_badge(played: Played) -> np.ndarray:
  """Step of the last badge of each episode `[N]` int64, -1 without one."""
  earned = played.reward_terms[..., specs.REWARD_TERMS.index("badges")] > 0
  last = earned.shape[1] - 1 - earned[:, ::-1].argmax(axis=1)
  return np.where(earned.any(axis=1), last, -1)


def best_and_worst(played: Played, weights: Sequence[float]) -> tuple[int, int]:
  """Numbers of the best and the worst episode, which differ if there are two.

  More badges are better, then fewer steps to the last, then a higher return.
  """
  measured = measure(played, weights)
  # By the last key first; the earlier of equal episodes is the better.
  order = np.lexsort(
    (
      np.arange(len(played.steps)),
      -measured["return"],
      last_badge(played),
      -measured["badges"],
    )
  )
  return int(order[0]), int(order[-1])


def milestones(played: Played) -> dict[str, dict[str, float | None]]:
  """Share of episodes that reached each milestone, and when.

  Returns:
    Name -> `share` of the episodes and the `median` step among those, None
    where nobody got there.
  """
  reached = {}
  for name in MILESTONES:
    gained = played.reward_terms[..., specs.REWARD_TERMS.index(name)] > 0
    there = gained.any(axis=1)
    first = gained.argmax(axis=1)[there]
    reached[name] = {
      "share": float(there.mean()),
      "median": float(np.median(first)) if len(first) else None,
    }
  return reached


def progress(played: Played) -> dict[str, Any]:
  """How far the game was played, and when.

  Returns:
    JSON-ready: `badges[k]` of each number `k` of badges that anybody earned,
    and `beaten`, each with `episodes` and their `median` step (None where
    nobody did); `maps`, the ids of all maps that were seen in any episode, and
    `maps_mean` and `maps_most` of one episode; `cells`, how many were stood on
    in any episode.
  """
  earned = np.cumsum(
    played.reward_terms[..., specs.REWARD_TERMS.index("badges")], axis=1
  )
  badges = {
    str(k): _reached(earned >= k) for k in range(1, int(earned.max()) + 1)
  }
  ended = played.steps[played.beaten]
  found: dict[str, Any] = {
    "badges": badges,
    "beaten": {
      "episodes": len(ended),
      "median": float(np.median(ended - 1)) if len(ended) else None,
    },
  }
  if played.visited_maps is not None:
    seen = np.unpackbits(played.visited_maps, axis=1, bitorder="little")
    found["maps"] = np.flatnonzero(seen.any(axis=0)).tolist()
    found["maps_mean"] = float(seen.sum(axis=1).mean())
    found["maps_most"] = int(seen.sum(axis=1).max())
  if played.traces is not None:
    stood = play_traces.visits(played.traces, played.steps)
    found["cells"] = len(stood.cell)
  return found


def _reached(there: np.ndarray) -> dict[str, Any]:
  """In how many episodes `[N, T]` bool holds once, and the median step."""
  first = there.argmax(axis=1)[there.any(axis=1)]
  return {
    "episodes": len(first),
    "median": float(np.median(first)) if len(first) else None,
  }


def report(
  played: Mapping[str, Played],
  weights: Sequence[float],
  resamples: int,
) -> dict[str, Any]:
  """Means with intervals per policy, and every pair of policies compared.

  Args:
    played: name -> its episodes, the same seeds in the same order.
    weights: of the reward terms.
    resamples: bootstrap draws.

  Returns:
    JSON-ready: `policies[name][measure]` with `mean low high n`, its
    `milestones` and its `progress`; `comparisons` rows with `policy`, `than`,
    the paired difference of returns and those of `COMPARED`; `per_episode`
    returns, and `by_episode` badges, the step of the last of them (None
    without), wild wins and what share was stuck (where traces are).
  """
  measured = {name: measure(p, weights) for name, p in played.items()}
  policies = {
    name: {
      **{
        key: statistics.bootstrap_mean(values, resamples)
        for key, values in measures.items()
      },
      "milestones": milestones(played[name]),
      "progress": progress(played[name]),
    }
    for name, measures in measured.items()
  }

  def difference(ours: str, theirs: str, key: str) -> dict[str, float]:
    return statistics.bootstrap_mean(
      measured[ours][key] - measured[theirs][key], resamples
    )

  comparisons = [
    {
      "policy": ours,
      "than": theirs,
      **difference(ours, theirs, "return"),
      **{key: difference(ours, theirs, key) for key in COMPARED},
    }
    for ours in measured
    for theirs in measured
    if ours != theirs
  ]
  return {
    "policies": policies,
    "comparisons": comparisons,
    "per_episode": {
      name: measures["return"].tolist() for name, measures in measured.items()
    },
    "by_episode": {
      name: _by_episode(played[name], measures)
      for name, measures in measured.items()
    },
  }


def _by_episode(
  played: Played, measures: Mapping[str, np.ndarray]
) -> dict[str, list[Any]]:
  last = last_badge(played).tolist()
  found: dict[str, list[Any]] = {
    "badges": measures["badges"].tolist(),
    "last_badge": [None if step < 0 else step for step in last],
    "wild_wins": measures["wild_wins"].tolist(),
  }
  if "stuck" in measures:
    found["stuck"] = measures["stuck"].round(4).tolist()
  return found


def _play_one(task: tuple[str, Setting, int]) -> dict[str, np.ndarray]:
  """One episode of a scripted policy, in a worker."""
  behaviour, setting, seed = task
  from data_tools.game import emulator as emulator_lib
  from data_tools.players import policies
  from data_tools.records import episodes

  with emulator_lib.Emulator(setting.rom) as emulator:
    emulator.reset(seed, setting.save_state, setting.jitter_frames)
    policy = policies.make_policy(behaviour, setting.rom)
    chunks = list(episodes.play(emulator, policy, seed, setting.length))
  return {
    name: np.concatenate([chunk[name] for chunk in chunks])
    for name in (
      *("reward_terms", "is_terminal", "visited_maps"),
      *play_traces.FIELDS,
    )
  }


def _stack(episodes: Sequence[dict[str, np.ndarray]], length: int) -> Played:
  shape = (len(episodes), length, specs.NUM_REWARD_TERMS)
  terms = np.zeros(shape, np.float32)
  traces = play_traces.blank(len(episodes), length)
  for number, episode in enumerate(episodes):
    at = (number, slice(len(episode["reward_terms"])))
    terms[at] = episode["reward_terms"]
    play_traces.put(traces, at, episode)
    traces.action[at] = episode["action"]
  return Played(
    reward_terms=terms,
    steps=np.array([len(e["reward_terms"]) for e in episodes], np.int64),
    beaten=np.array([e["is_terminal"].any() for e in episodes]),
    visited_maps=np.stack([e["visited_maps"][-1] for e in episodes]),
    traces=traces,
  )
