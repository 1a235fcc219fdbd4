"""What cannot fit is refused in a line, what can is let through."""

import dataclasses

import pytest

from experiments.machine import memory
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.config import presets

_GIB = 2**30


def _dreams(starts):
  config = presets.make("tiny")
  policy = dataclasses.replace(config.policy, starts=starts)
  return dataclasses.replace(config, policy=policy)


def test_batches_of_dreams_are_let_through_up_to_what_is_there(monkeypatch):
  config = _dreams(4096)
  states = 4096 * (config.policy.horizon + 1)
  needed = 4 * states * policy_inputs.size(config)
  monkeypatch.setattr(memory, "available", lambda: needed)
  memory.check_dreams(config)
  monkeypatch.setattr(memory, "available", lambda: needed - 1)
  with pytest.raises(ValueError, match=r"policy\.starts: 4096 dreams") as said:
    memory.check_dreams(config)
  assert f"at least {needed / _GIB:,.1f} GiB" in str(said.value)


def test_where_nobody_knows_what_is_there_nothing_is_refused(monkeypatch):
  monkeypatch.setattr(memory, "available", lambda: None)
  memory.check_dreams(_dreams(1_048_576))
