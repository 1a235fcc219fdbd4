"""Play under goals: the same moments with the right goal, another, and none.

Games are entered at recorded rows (`entering.py`); from there on the agent
plays, and the goal's own predicate judges.
"""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import dataclasses
import functools
from typing import Any

import numpy as np

from data_tools.game import goals
from experiments.playing import entering
from experiments.playing import goal_cases
from experiments.playing import reentering
from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs
from pokedreamer_jax.config import run as config_lib

_OTHER_LUCK = 2**20  # between the seeds of games that differ in it alone
CONDITIONS = ("right", "other", "none")  # the goal that an agent is given

Told = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Ends:
  """What came of `C` cases."""

  # [C, G] env steps after which the goal was reached, for each of the goals
  # that were given; -1 where it was not.
  reached: np.ndarray
  # [C] share of the dreams under the right goal that reach it from where the
  # game was entered; None where none was dreamt.
  dreamt: np.ndarray | None
  # [C, G] whether games under the right goal reached it; the first is that of
  # `reached`, the others differ from it in luck alone.
  games: np.ndarray


def play(
  agent: Any,
  cases: Sequence[goal_cases.Case],
  setting: entering.Setting,
  seed: int = 0,
  greedy: bool = False,
  told: Told = lambda done, total: None,
  dreams: int = 0,
  games: int = 1,
  conditions: Sequence[str] = CONDITIONS,
  again: reentering.Again | None = None,
) -> Ends:
  """Plays every case under some goals, always judged by its own goal.

  Args:
    agent: an `experiments.runs.inputs.Agent` whose policy reads goals.
    cases: of the setting's index.
    setting: as for all agents.
    seed: of the agent's chance.
    greedy: take the most likely action.
    told: called with the cases done and their total.
    dreams: from each moment, under the right goal, `setting.limit` steps long.
    games: from each moment, under the first of the conditions; those after the
      first are entered anew.
    conditions: the goals that are given, some of `CONDITIONS` or one of them
      several times; the first is the one that is dreamt under.
    again: of `make_again` with the same settings: the cases are entered for
      the first agent alone. Cases, setting, conditions, dreams and seed have to
      be the same each time.

  Raises:
    ValueError: the policy reads no goals, or an episode cannot be entered.
  """
  from pokedreamer_jax.behaviour import acting
  from pokedreamer_jax.evaluation import honesty

  dream = None
  if again is None:
    act = acting.make_act(
      agent.config, agent.world_params, agent.actor_params, greedy
    )
    if dreams:
      dream = honesty.make_goal_dream_fn(
        agent.config, setting.limit, dreams, greedy
      )
  else:
    act = functools.partial(again.act, agent.world_params, agent.actor_params)
    dream = again.dream
  order = sorted(range(len(cases)), key=lambda i: cases[i].row)
  share = max(1, entering.STREAMS // len(conditions))
  reached = np.full((len(cases), len(conditions)), -1, np.int64)
  dreamt = np.zeros(len(cases))
  alike = [conditions[0]] * len(conditions)
  passes = -(-(games - 1) // len(alike))
  further = np.zeros((len(cases), passes, len(alike)), bool)
  for start in range(0, len(order), share):
    some = order[start : start + share]
    # Always so many: one shape compiles once.
    padded = [cases[i] for i in some + some[-1:] * (share - len(some))]
    ends = _play(
      *(agent, act, dream, padded, conditions, setting, seed + start),
      *(again, start),
    )
    reached[some] = ends[0][: len(some)]
    if ends[1] is not None:
      dreamt[some] = ends[1][: len(some)]
    for i in range(passes):
      luck = seed + start + (1 + i) * _OTHER_LUCK
      steps, _ = _play(
        *(agent, act, None, padded, alike, setting, luck, None, start)
      )
      further[some, i] = steps[: len(some)] >= 0
    told(start + len(some), len(order))
  played = [reached[:, :1] >= 0, further.reshape(len(cases), -1)]
  return Ends(
    reached,
    dreamt if dreams else None,
    np.concatenate(played, axis=1)[:, :games],
  )


def make_again(
  config: config_lib.Config, limit: int, dreams: int, greedy: bool = False
) -> reentering.Again:
  """For `play` of agents of one world model and configuration.

  Args:
    config: theirs.
    limit: of the setting.
    dreams: from each moment, at least 1.
    greedy: take the most likely action.
  """
  from pokedreamer_jax.behaviour import acting
  from pokedreamer_jax.evaluation import honesty

  return reentering.Again(
    acting.make_act_step(config, greedy),
    honesty.make_goal_dream_fn(config, limit, dreams, greedy),
  )


def _play(
  agent, act, dream, cases, conditions, setting, seed, again, at
) -> tuple[np.ndarray, np.ndarray | None]:
  """Some cases side by side, the conditions of one case next to each other.

  `Ends.reached` and `Ends.dreamt`.
  """
  each = len(conditions)
  given = [
    dict(zip(CONDITIONS, (c.goal, c.other, goal_specs.NONE), strict=True))
    for c in cases
  ]
  vectors = goal_embeddings.embed_goals(
    goal[name] for goal in given for name in conditions
  )
  asked = np.repeat(goal_specs.stack(c.goal for c in cases), each, axis=0)
  entries = [entering.Entry(c.place, c.row) for c in cases for _ in conditions]
  judge = goals.Judge(len(entries))
  reached = np.full(len(entries), -1, np.int64)
  games = (agent, act, entries, setting, seed, vectors)
  past, moments = (
    (entering.Past.none(len(entries)), entering.play(*games))
    if again is None
    else reentering.moments(again, at, *games)
  )
  entered = entering.Entered(past)
  with contextlib.closing(moments):
    for moment in moments:
      since = moment.since
      if dream is not None:
        entered.look(moment)
      hit = judge.update(moment.row, asked) & (since > 0)
      hit &= since <= setting.limit
      reached = np.where(hit & (reached < 0), since, reached)
      if ((reached >= 0) | (since >= setting.limit)).all():
        break
  dreamt = None
  if dream is not None:
    right = slice(None, None, each)
    state, earned = entered.states(right)
    key = entering.dream_key(seed)
    worlds = agent.world_params, agent.actor_params
    dreamt = np.asarray(dream(*worlds, key, state, earned, asked[right]))
  return reached.reshape(len(cases), each), dreamt
