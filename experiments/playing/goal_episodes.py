"""Play under goals: the same moments with the right goal, another, and none.

Games are entered at recorded rows (`entering.py`); from there on the agent
plays, and the goal's own predicate judges.
"""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
from typing import Any

import numpy as np

from data_tools.game import goals
from experiments.playing import entering
from experiments.playing import goal_cases
from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs

CONDITIONS = ("right", "other", "none")  # the goal that an agent is given

Told = Callable[[int, int], None]


def play(
  agent: Any,
  cases: Sequence[goal_cases.Case],
  setting: entering.Setting,
  seed: int = 0,
  greedy: bool = False,
  told: Told = lambda done, total: None,
) -> np.ndarray:
  """Plays every case under each of `CONDITIONS`, always judged by its own goal.

  Args:
    agent: an `experiments.runs.inputs.Agent` whose policy reads goals.
    cases: of the setting's index.
    setting: as for all agents.
    seed: of the agent's chance.
    greedy: take the most likely action.
    told: called with the cases done and their total.

  Returns:
    Env steps `[C, 3]` after which a goal was reached; -1 where it was not.

  Raises:
    ValueError: the policy reads no goals, or an episode cannot be entered.
  """
  from pokedreamer_jax.behaviour import acting

  act = acting.make_act(
    agent.config, agent.world_params, agent.actor_params, greedy
  )
  order = sorted(range(len(cases)), key=lambda i: cases[i].row)
  share = entering.STREAMS // len(CONDITIONS)
  found = np.full((len(cases), len(CONDITIONS)), -1, np.int64)
  for start in range(0, len(order), share):
    some = order[start : start + share]
    # Always so many: one shape compiles once.
    padded = [cases[i] for i in some + some[-1:] * (share - len(some))]
    found[some] = _play(agent, act, padded, setting, seed + start)[: len(some)]
    told(start + len(some), len(order))
  return found


def _play(agent, act, cases, setting, seed) -> np.ndarray:
  """Some cases side by side, the conditions of one case next to each other."""
  each = len(CONDITIONS)
  given = [(case.goal, case.other, goal_specs.NONE) for case in cases]
  vectors = goal_embeddings.embed_goals(goal for row in given for goal in row)
  asked = np.repeat(goal_specs.stack(c.goal for c in cases), each, axis=0)
  entries = [entering.Entry(c.place, c.row) for c in cases for _ in CONDITIONS]
  judge = goals.Judge(len(entries))
  reached = np.full(len(entries), -1, np.int64)
  moments = entering.play(agent, act, entries, setting, seed, vectors)
  with contextlib.closing(moments):
    for moment in moments:
      since = moment.since
      hit = judge.update(moment.row, asked) & (since > 0)
      hit &= since <= setting.limit
      reached = np.where(hit & (reached < 0), since, reached)
      if ((reached >= 0) | (since >= setting.limit)).all():
        break
  return reached.reshape(len(cases), each)
