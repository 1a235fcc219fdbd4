"""Play under goals: the same moments with the right goal, another, and none.

Games are entered at recorded rows (`entering.py`); from there on the agent
plays, and the goal's own predicate judges.
"""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import dataclasses
from typing import Any

import numpy as np

from data_tools.game import goals
from experiments.playing import entering
from experiments.playing import goal_cases
from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs

CONDITIONS = ("right", "other", "none")  # the goal that an agent is given

Told = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Ends:
  """What came of `C` cases."""

  # [C, 3] env steps after which the goal was reached; -1 where it was not.
  reached: np.ndarray
  # [C] share of the dreams under the right goal that reach it from where the
  # game was entered; None where none was dreamt.
  dreamt: np.ndarray | None


def play(
  agent: Any,
  cases: Sequence[goal_cases.Case],
  setting: entering.Setting,
  seed: int = 0,
  greedy: bool = False,
  told: Told = lambda done, total: None,
  dreams: int = 0,
) -> Ends:
  """Plays every case under each of `CONDITIONS`, always judged by its own goal.

  Args:
    agent: an `experiments.runs.inputs.Agent` whose policy reads goals.
    cases: of the setting's index.
    setting: as for all agents.
    seed: of the agent's chance.
    greedy: take the most likely action.
    told: called with the cases done and their total.
    dreams: from each moment, under the right goal, `setting.limit` steps long.

  Raises:
    ValueError: the policy reads no goals, or an episode cannot be entered.
  """
  from pokedreamer_jax.behaviour import acting
  from pokedreamer_jax.evaluation import honesty

  act = acting.make_act(
    agent.config, agent.world_params, agent.actor_params, greedy
  )
  dream = None
  if dreams:
    dream = honesty.make_goal_dream_fn(
      agent.config, setting.limit, dreams, greedy
    )
  order = sorted(range(len(cases)), key=lambda i: cases[i].row)
  share = entering.STREAMS // len(CONDITIONS)
  reached = np.full((len(cases), len(CONDITIONS)), -1, np.int64)
  dreamt = np.zeros(len(cases))
  for start in range(0, len(order), share):
    some = order[start : start + share]
    # Always so many: one shape compiles once.
    padded = [cases[i] for i in some + some[-1:] * (share - len(some))]
    ends = _play(agent, act, dream, padded, setting, seed + start)
    reached[some] = ends.reached[: len(some)]
    if ends.dreamt is not None:
      dreamt[some] = ends.dreamt[: len(some)]
    told(start + len(some), len(order))
  return Ends(reached, dreamt if dreams else None)


def _play(agent, act, dream, cases, setting, seed) -> Ends:
  """Some cases side by side, the conditions of one case next to each other."""
  each = len(CONDITIONS)
  given = [(case.goal, case.other, goal_specs.NONE) for case in cases]
  vectors = goal_embeddings.embed_goals(goal for row in given for goal in row)
  asked = np.repeat(goal_specs.stack(c.goal for c in cases), each, axis=0)
  entries = [entering.Entry(c.place, c.row) for c in cases for _ in CONDITIONS]
  judge = goals.Judge(len(entries))
  reached = np.full(len(entries), -1, np.int64)
  entered = entering.Entered(len(entries))
  moments = entering.play(agent, act, entries, setting, seed, vectors)
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
  return Ends(reached.reshape(len(cases), each), dreamt)
