"""A planner of a few rules that answers from the request alone.

It stands behind our server in place of a language model, so that the whole way
over HTTP can be tried without a key.
"""

from collections.abc import Mapping
from typing import Any

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import schema

_HURT_SHARE = 0.35


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
  """A reply, JSON-ready, to a request as it is sent.

  Raises:
    KeyError: the request lacks a field.
  """
  goal, rationale = _choose(request)
  reply = schema.Reply(goal_specs.parse(goal, free_text=False), rationale)
  return reply.to_wire()


def _choose(request: Mapping[str, Any]) -> tuple[str, str]:
  """The first option that a rule likes: heal, new maps, then the others."""
  last = request["last_goal"]
  failed = last["outcome"] in ("out of time", "stagnant")
  options = [
    option
    for option in request.get("options", [])
    if not (failed and option["goal"] == last.get("goal"))
  ]
  words = {option["goal"] for option in options}
  state = request["state"]
  hp, full = state.get("party_hp", [])[:1], state.get("party_max_hp", [])[:1]
  if hp and hp[0] <= _HURT_SHARE * full[0] and "heal" in words:
    return "heal", "the first creature is hurt"
  for option in options:
    if option.get("way") and option["reason"].startswith("not visited"):
      return option["goal"], "a map not visited yet"
  if not options:
    return "explore new map", "nothing is offered"
  # Without anything better another one each time.
  chosen = options[state["env_step"] // 100 % len(options)]
  return chosen["goal"], f"offered: {chosen['reason']}"
