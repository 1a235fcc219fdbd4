"""Rows of games that nobody played, and planners that answer as they are told.

`small_world` is three maps in a line: 1 - 2 - 3, healing on 1.
"""

import threading

import numpy as np

from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.planner import knowledge
from pokedreamer_jax.planner import leading
from pokedreamer_jax.planner import llm
from pokedreamer_jax.planner import progress
from pokedreamer_jax.planner import requests
from pokedreamer_jax.planner import schema
from pokedreamer_jax.planner import walking

FRAME = np.zeros((specs.FRAME_HEIGHT, specs.PACKED_WIDTH), np.uint8)
_TRAINER = specs.REWARD_TERMS.index("trainer_wins")


def row(**changes):
  """A row of a game that runs: map 1, one creature of level 5 with 20 HP.

  Args:
    **changes: step fields by name; of the party the first one's, and
      `trainer_wins`, the reward term.
  """
  made = {name: array[0] for name, array in specs.empty_steps(1).items()}
  values = {
    **{"game_running": True, "has_control": True, "map_id": 1, "y": 4, "x": 4},
    **{"party_size": 1, "party_species": 7, "party_hp": 20},
    **{"party_max_hp": 20, "party_level": 5, "dex_owned": 1, **changes},
  }
  terms = made["reward_terms"].copy()
  terms[_TRAINER] = values.pop("trainer_wins", 0)
  made["reward_terms"] = terms
  for name, value in values.items():
    if made[name].ndim:
      made[name] = made[name].copy()
      made[name][0] = value
    else:
      made[name] = np.asarray(value, made[name].dtype)
  return made


def followed(*rows, names=None):
  """The progress of a game with these rows."""
  made = progress.Progress(names)
  for one in rows or (row(),):
    made.update(one)
  return made


def moments(*rows):
  """The moment of each row."""
  made = progress.Progress()
  return [made.update(one) for one in rows]


def request(*rows, known=None, trigger="start", **switches):
  """The request after these rows."""
  return requests.make(
    followed(*rows),
    known or small_world(),
    trigger,
    goal_specs.NONE,
    schema.LastGoal(None, "none", 0, None),
    schema.Switches(**switches),
  )


def small_world(**changes):
  """Knowledge of three maps in a line; `changes` replace parts of it."""
  cells = {
    "rows": 50,
    "top": 0,
    "left": 0,
    "cells": [".....", "..#..", "....."],
  }
  ways = [(1, 0, 4, 2, 0, 0), (2, 0, 0, 1, 0, 4)]
  ways += [(2, 2, 4, 3, 2, 0), (3, 2, 0, 2, 2, 4)]
  shown = (("reach map 2", 1, [2, 0, 0]), ("win trainer battle", 1, [2, 1, 1]))
  shown += (("reach map 3", 1, [3, 2, 0]), ("earn badge 0", 1, [3, 1, 3]))
  values = {
    "format": 1,
    "about": {},
    "maps": [{"map_id": i, **cells} for i in (1, 2, 3)],
    "ways": [
      {"start": list(way[:3]), "end": list(way[3:]), "count": 3} for way in ways
    ],
    "milestones": [
      {"goal": g, "nth": n, "share": 1.0, "env_steps": 10.0 * i, "at": at}
      for i, (g, n, at) in enumerate(shown)
    ],
    "healing": [{"at": [1, 1, 1], "count": 5}],
    **changes,
  }
  return knowledge.from_json(values)


def first(known, reply, state, stride=0):
  """Words of the first goal on the way to what a reply names."""
  guide = leading.Guide(known, walking.Walks(known), stride, 6)
  return str(guide.begin(leading.Errand(reply.goal, reply.at), state))


def text(goal, rationale="since", /, **changes):
  """A reply that names a goal, JSON-ready."""
  made = schema.Reply(goal_specs.parse(goal, free_text=False), rationale)
  return {**made.to_trace(), **changes}


class Told:
  """A planner that says what it is told to, when it is told to."""

  name, model = "told", "none"

  def __init__(self):
    self.requests = []
    self.answers = []
    self.may_answer = threading.Event()
    self.may_answer.set()
    self.asked = threading.Semaphore(0)
    self.is_closed = False

  def say(self, *goals):
    """The next goals; an exception is raised, a text beginning with ! fails."""
    self.answers += goals

  def ask(self, request, deadline_s):
    self.requests.append(request)
    self.asked.release()
    self.may_answer.wait(30)
    goal = self.answers.pop(0)
    if isinstance(goal, Exception):
      raise goal
    if goal.startswith("!"):
      return llm.Answer(None, goal[1:], 1)
    named = goal_specs.parse(goal, free_text=False)
    return llm.Answer(schema.Reply(named, "told to"), "", 1, 100, 10)

  def close(self):
    self.is_closed = True
