"""Play under goals: the same moments with the right goal, another, and none.

The emulator is brought to a recorded row by playing the episode again from its
start, the agent looking on, so that what it remembers is what it would have
seen. From there on it plays, and the goal's own predicate judges.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from data_tools.game import goals
from data_tools.game import roms
from data_tools.records import replay
from experiments.playing import goal_cases
from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs

CONDITIONS = ("right", "other", "none")  # the goal that an agent is given
_STREAMS = 48  # emulators side by side

Told = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Setting:
  """What all agents share."""

  rom: roms.Rom
  index: Any  # `loader.EpisodeIndex` that the cases are of
  jitter_frames: int  # at most, as the episodes were recorded
  limit: int  # env steps within which a goal is to be reached
  workers: int = 2


def play(
  agent: Any,
  cases: Sequence[goal_cases.Case],
  setting: Setting,
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
  share = _STREAMS // len(CONDITIONS)
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
  import jax

  from data_tools.envs import vector
  from pokedreamer_jax.behaviour import acting

  each = len(CONDITIONS)
  count = len(cases) * each
  headers = [setting.index.headers[case.place] for case in cases]
  starts = [
    replay.find_start(header, setting.index.generation.data_dir)
    for header in headers
  ]
  for header, start in zip(headers, starts, strict=True):
    replay.check_header(setting.rom, header, start)
  recorded = [
    setting.index.read(case.place, 0, case.row + 1, ("action", "frame"))
    for case in cases
  ]
  rows = np.repeat([case.row for case in cases], each)
  given = [(case.goal, case.other, goal_specs.NONE) for case in cases]
  vectors = goal_embeddings.embed_goals(goal for row in given for goal in row)
  asked = np.repeat(goal_specs.stack(c.goal for c in cases), each, axis=0)
  state = acting.pursuing(
    agent.config,
    acting.init_state(agent.config.world_model, count),
    vectors,
  )
  judge = goals.Judge(count)
  reached = np.full(count, -1, np.int64)
  last = int(rows.max()) + setting.limit
  key = jax.random.key(seed)
  with vector.VectorEmulator(
    setting.rom,
    num_envs=count,
    num_workers=min(setting.workers, count),
    episode_length=last + 2,
    jitter_frames=setting.jitter_frames,
  ) as emulators:
    row = emulators.reset(
      [h.seed for h in headers for _ in CONDITIONS],
      [start for start in starts for _ in CONDITIONS],
    )
    for t in range(last + 1):
      hit = judge.update(row, asked) & (t > rows) & (t <= rows + setting.limit)
      reached = np.where(hit & (reached < 0), t - rows, reached)
      for number, case in enumerate(cases):
        if case.row == t:
          _check_entered(row, recorded[number], number * each, case, headers)
      if ((reached >= 0) | (t >= rows + setting.limit)).all():
        break
      state, chosen = act(
        state,
        row["frame"],
        acting.ram_of(row),
        row["is_first"],
        jax.random.fold_in(key, t),
      )
      action = np.array(chosen, np.uint8)
      for number, case in enumerate(cases):
        if t < case.row:
          mine = slice(number * each, (number + 1) * each)
          action[mine] = recorded[number]["action"][t]
      # What was played, which the recording chose before the row.
      state = dataclasses.replace(
        state, action_tm1=jax.numpy.asarray(action, "int32")
      )
      row = emulators.step(action)
  return reached.reshape(len(cases), each)


def _check_entered(row, recorded, stream, case, headers) -> None:
  """Raises ValueError where a game does not show the recorded row."""
  if not np.array_equal(row["frame"][stream], recorded["frame"][case.row]):
    episode = headers[stream // len(CONDITIONS)].episode_id
    raise ValueError(
      f"episode {episode}: row {case.row} is not what playing it again shows; "
      "was it recorded with another collect.jitter_frames?"
    )
