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

_OTHER_LUCK = 2**20  # between the seeds of games that differ in it alone
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
    games: from each moment, under the right goal.

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
  again = -(-(games - 1) // len(CONDITIONS))  # times that all play on as right
  further = np.zeros((len(cases), again, len(CONDITIONS)), bool)
  for start in range(0, len(order), share):
    some = order[start : start + share]
    # Always so many: one shape compiles once.
    padded = [cases[i] for i in some + some[-1:] * (share - len(some))]
    given = [(case.goal, case.other, goal_specs.NONE) for case in padded]
    ends = _play(agent, act, dream, padded, given, setting, seed + start)
    reached[some] = ends[0][: len(some)]
    if ends[1] is not None:
      dreamt[some] = ends[1][: len(some)]
    given = [(case.goal, case.goal, case.goal) for case in padded]
    for i in range(again):
      luck = seed + start + (1 + i) * _OTHER_LUCK
      steps, _ = _play(agent, act, None, padded, given, setting, luck)
      further[some, i] = steps[: len(some)] >= 0
    told(start + len(some), len(order))
  first = reached[:, :1] >= 0
  alike = further.reshape(len(cases), -1)[:, : games - 1]
  return Ends(
    reached, dreamt if dreams else None, np.concatenate([first, alike], axis=1)
  )


def _play(
  agent, act, dream, cases, given, setting, seed
) -> tuple[np.ndarray, np.ndarray | None]:
  """Some cases side by side, games of one case next to each other.

  Under the goals `given`, three a case; `Ends.reached` and `Ends.dreamt`.
  """
  each = len(CONDITIONS)
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
  return reached.reshape(len(cases), each), dreamt
