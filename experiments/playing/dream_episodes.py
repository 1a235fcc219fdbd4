"""The same starts, dreamt and played: what one agent earns in both."""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import dataclasses
import functools
from typing import Any

import numpy as np

from data_tools.envs import env_rows
from experiments.playing import dream_cases
from experiments.playing import entering
from experiments.playing import reentering
from pokedreamer_jax.behaviour import objectives
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.evaluation import honesty

Told = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Ends:
  """What came of `C` starts, each played and dreamt from `R` times."""

  dreamt: np.ndarray  # [C, R] mean returns of the dreams from one entered game
  real: np.ndarray  # [C, R] returns of the games
  dreamt_events: np.ndarray  # [C, R, K] probability of each kind of event
  real_events: np.ndarray  # [C, R, K] bool


def play(
  agent: Any,
  cases: Sequence[dream_cases.Case],
  setting: entering.Setting,
  plays: int,
  samples: int,
  seed: int = 0,
  greedy: bool = False,
  told: Told = lambda done, total: None,
  again: reentering.Again | None = None,
) -> Ends:
  """Enters every start `plays` times, dreams on from there, and plays on.

  Args:
    agent: an `experiments.runs.inputs.Agent`.
    cases: of the setting's index.
    setting: as for all agents; dreams are `setting.limit` steps long.
    plays: games from each start, at least 2.
    samples: dreams from each entered game.
    seed: of all chance.
    greedy: take the most likely action.
    told: called with the starts done and their total.
    again: of `make_again` with the same settings: the starts are entered for
      the first agent alone. Cases, setting, plays, samples and seed have to be
      the same each time.

  Raises:
    ValueError: an episode cannot be entered.
  """
  from pokedreamer_jax.behaviour import acting

  if again is None:
    act = acting.make_act(
      agent.config, agent.world_params, agent.actor_params, greedy
    )
    dream = honesty.make_dream_fn(agent.config, setting.limit, samples, greedy)
  else:
    act = functools.partial(again.act, agent.world_params, agent.actor_params)
    dream = again.dream
  order = sorted(range(len(cases)), key=lambda i: cases[i].entry.row)
  share = max(1, entering.STREAMS // plays)
  shape, kinds = (len(cases), plays), len(honesty.KINDS)
  found = Ends(
    np.zeros(shape),
    np.zeros(shape),
    np.zeros((*shape, kinds)),
    np.zeros((*shape, kinds), bool),
  )
  for start in range(0, len(order), share):
    some = order[start : start + share]
    # Always so many: one shape compiles once.
    padded = [cases[i] for i in some + some[-1:] * (share - len(some))]
    entries = [case.entry for case in padded for _ in range(plays)]
    games = (agent, act, entries, setting, seed + start)
    past, moments = (
      (entering.Past.none(len(entries)), entering.play(*games))
      if again is None
      else reentering.moments(again, start, *games)
    )
    ends = _play(agent, dream, past, moments, setting.limit, seed + start)
    for field in dataclasses.fields(Ends):
      each = getattr(ends, field.name).reshape(share, plays, -1)
      whole = getattr(found, field.name)
      whole[some] = each[: len(some)].reshape(len(some), *whole.shape[1:])
    told(start + len(some), len(order))
  return found


def make_again(
  config: config_lib.Config, limit: int, samples: int, greedy: bool = False
) -> reentering.Again:
  """For `play` of agents of one world model and configuration.

  Args:
    config: theirs.
    limit: of the setting.
    samples: dreams from each entered game.
    greedy: take the most likely action.
  """
  from pokedreamer_jax.behaviour import acting

  return reentering.Again(
    acting.make_act_step(config, greedy),
    honesty.make_dream_fn(config, limit, samples, greedy),
  )


def _play(agent, dream, past, moments, limit, seed) -> Ends:
  """Some games side by side; leaves `[N]` and `[N, K]`."""
  count, highest = len(past.level), past.level
  objective = env_rows.Rewards(agent.config.policy.objective, count)
  objective.go_on(past.earned, past.level)
  real = np.zeros(count)
  happened = np.zeros((count, len(honesty.KINDS)), bool)
  entered = entering.Entered(past)
  with contextlib.closing(moments):
    for moment in moments:
      since, row = moment.since, moment.row
      level = np.maximum(highest, row["party_level"][:, 0].astype(int))
      rises = objectives.level_rises(np.stack([highest, level]))[0]
      highest = level
      inside = (since > 0) & (since <= limit)
      real += np.where(inside, objective.weigh(row), 0.0)
      events = honesty.real_events(row["reward_terms"], np.asarray(rises))
      happened |= events & inside[:, None]
      entered.look(moment)
      if (since >= limit).all():
        break
  dreamt, dreamt_events = dream(
    agent.world_params,
    agent.actor_params,
    entering.dream_key(seed),
    *entered.states(),
  )
  return Ends(np.asarray(dreamt), real, np.asarray(dreamt_events), happened)
