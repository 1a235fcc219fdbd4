"""Whether a reply is still one to the game that goes on meanwhile.

A language model thinks for seconds, and the game does not wait: most replies
come to another situation than the one that was asked about. Most are worth
pursuing all the same, so one is dropped only where it is void:

  it is older than a limit,
  its goal holds by now, or names a map that is not known,
  what it asks for has happened since: the new map, the flag, the win,
  a badge was earned since: what comes next is another question,
  it names a cell of a map that the game has left since, or a map to which no
  way that is known leads from here, while one led there from where it was asked

A new map or a story flag alone makes nothing void. They are asked about once
more, and the goal is pursued until then.
"""

from collections.abc import Collection
import dataclasses

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import knowledge as knowledge_lib
from pokedreamer_jax.planner import replies
from pokedreamer_jax.planner import schema

# What was gained (`progress.GAINS`) -> kinds of goals that this was.
_HAPPENED = {
  "area": ("explore",),
  "story": ("story",),
  "species": ("catch",),
  "trainer": ("win", "win_trainer"),
}


def why(
  goal: goal_specs.Goal,
  request: schema.Request,
  now: schema.State,
  gained: Collection[str],
  knowledge: knowledge_lib.Knowledge,
  most_age_env_steps: int,
) -> str:
  """Why a reply is void, in words; "" where its goal can be pursued.

  Args:
    goal: that it names.
    request: what was asked.
    now: the game on the step on which the reply is taken.
    gained: of `progress.GAINS`, what happened since it was asked.
    knowledge: from records.
    most_age_env_steps: an older reply is void.
  """
  age = now.env_step - request.state.env_step
  if age > most_age_env_steps:
    return f"{age} env steps old"
  if "badge" in gained:
    return "a badge was earned since"
  if replies.goal_faults(goal, dataclasses.replace(request, state=now)):
    return "its goal holds, or nobody knows its map"
  for gain, kinds in _HAPPENED.items():
    if gain in gained and goal.kind in kinds:
      return f"what it asks for has happened ({gain})"
  here, there = now.map_id, request.state.map_id
  if here == there:
    return ""
  if goal.kind == "tile" and goal.map_id == there:
    return "the game has left the map of its cell"
  if goal.kind == "map" and goal.map_id is not None:
    led = knowledge.route(there, [goal.map_id]) is not None
    if led and knowledge.route(here, [goal.map_id]) is None:
      return "no way that is known leads there from here"
  return ""
