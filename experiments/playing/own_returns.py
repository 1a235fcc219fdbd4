"""Games weighed by what policies were paid for, beside the published weights.

Every player of a measurement is weighed by each objective, so that whoever was
not trained on it stands beside whoever was. What the environments pay for the
same rows is the same (`data_tools/envs/env_rows.py`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.playing import play_episodes
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import objectives
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.world_model import statistics

PUBLISHED = "published"
_Policies = Mapping[str, behaviour_config.PolicyConfig]


def returns(
  played: play_episodes.Played, policy: behaviour_config.PolicyConfig
) -> np.ndarray | None:
  """What an objective pays for each episode, undiscounted, `[N]` float64.

  None where it pays levels and nobody kept them.

  Args:
    played: the episodes.
    policy: names the objective, `only_term` regarded.
  """
  weights = policy.term_weights
  level_weight = weights.pop(specs.LEVEL)
  if level_weight and played.traces is None:
    return None
  terms = played.reward_terms.swapaxes(0, 1)  # [T, N, 8]
  counted = specs.cap_terms(terms, np.zeros_like(terms[0]), policy.objective)
  paid = counted.sum(axis=0, dtype=np.float64) @ np.array([*weights.values()])
  if level_weight and played.traces is not None:
    highest = np.maximum.accumulate(played.traces.level, axis=1).T.astype(int)
    paid += level_weight * np.asarray(objectives.level_rises(highest)).sum(0)
  return paid


def report(
  played: Mapping[str, play_episodes.Played],
  trained: _Policies,
  resamples: int,
) -> dict[str, Any]:
  """Returns by the objectives of policies, where these are not the published.

  Args:
    played: name -> its episodes, the same seeds in the same order.
    trained: of the players that learned from dreams, what they were paid.
    resamples: bootstrap draws.

  Returns:
    JSON-ready: objective -> `of`, the players that were trained on it;
    `weights` of what it pays and `caps` of an episode; `returns[player]` with
    `mean low high n`, `comparisons` rows with `policy`, `than` and the paired
    difference, and `per_episode` returns.
  """
  found = {}
  for name, players in _objectives(trained).items():
    policy = trained[players[0]]
    paid = {player: returns(one, policy) for player, one in played.items()}
    known = {player: each for player, each in paid.items() if each is not None}
    found[name] = {
      "of": players,
      "weights": {k: w for k, w in policy.term_weights.items() if w},
      "caps": _caps(policy),
      "returns": {
        player: statistics.bootstrap_mean(each, resamples)
        for player, each in known.items()
      },
      "comparisons": [
        {
          "policy": ours,
          "than": theirs,
          **statistics.bootstrap_mean(known[ours] - known[theirs], resamples),
        }
        for ours in known
        for theirs in known
        if ours != theirs
      ],
      "per_episode": {player: each.tolist() for player, each in known.items()},
    }
  return found


def _objectives(trained: _Policies) -> dict[str, list[str]]:
  """Objective -> the players that were trained on it, but the published."""
  none: dict[str, float] = {}
  published = (specs.term_weights(PUBLISHED), none)
  found: dict[str, list[str]] = {}
  for player, policy in trained.items():
    if (policy.term_weights, _caps(policy)) != published:
      found.setdefault(policy.objective_name, []).append(player)
  return found


def _caps(policy: behaviour_config.PolicyConfig) -> dict[str, float]:
  """Caps of the terms that are paid, of an episode."""
  objective = policy.objective
  caps = specs.REWARD_CAPS[objective] if isinstance(objective, str) else {}
  return {k: cap for k, cap in caps.items() if policy.term_weights[k]}
