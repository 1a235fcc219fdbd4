"""Plays by planning alone: the cross-entropy method over dreams.

    python -m examples.plan_in_dreams --model=runs/quickstart/world_model

No policy acts. Before every press the plans are drawn anew around those that
dreamt best, a few times over, and the first button of the best is pressed.
Games of it and of random buttons, from the same seeds, stand side by side.
"""

import argparse
import functools
import sys

import jax
import numpy as np

from data_tools.envs import starts
from data_tools.envs import vector
from data_tools.game import roms
from experiments import library
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import following
from pokedreamer_jax.behaviour import rollouts


class Planner:
  """Chooses by dreams; one state a game, kept up to date by what is seen."""

  def __init__(self, model: str, games: int, given: argparse.Namespace):
    """Loads the world model."""
    self._config = library.load_config(model)
    self._world = library.load_world_model(model)
    self._given = given
    self._follow = jax.jit(functools.partial(following.follow, self._config))
    self._state = following.nothing(self._config, games)
    self._action = np.full(games, specs.PASS)
    self._rng = np.random.default_rng(0)

  def __call__(self, t: int, row: dict[str, np.ndarray]) -> np.ndarray:
    """Buttons `[games]` of a row."""
    see_key, dream_key = jax.random.split(jax.random.key(t))
    self._state = self._follow(
      self._world, see_key, self._state, self._action, row
    )
    games = len(self._action)
    odds = np.full(
      (games, self._given.ahead, specs.NUM_ACTIONS), 1 / specs.NUM_ACTIONS
    )
    for _ in range(self._given.rounds):
      plans = self._draw(odds)
      # Equal luck for all plans of a game, so that they alone differ.
      keys = jax.random.split(dream_key, games)
      dreamt = rollouts.rollout(
        self._config, self._world, keys, self._state, plans
      )
      worth = np.asarray(rollouts.discounted(dreamt, gamma=0.99))
      best = np.argsort(-worth, axis=1)[:, : self._given.plans // 8 or 1]
      kept = np.take_along_axis(plans, best[:, :, None], axis=1)
      shares = np.eye(specs.NUM_ACTIONS)[kept].mean(axis=1)
      odds = 0.8 * shares + 0.2 / specs.NUM_ACTIONS
    self._action = kept[:, 0, 0]
    return self._action

  def _draw(self, odds: np.ndarray) -> np.ndarray:
    """Plans `[games, plans, ahead]`, each press by its own odds."""
    games, ahead, _ = odds.shape
    drawn = self._rng.random((games, self._given.plans, ahead, 1))
    plans = (drawn > odds.cumsum(axis=-1)[:, None]).sum(axis=-1)
    return np.minimum(plans, specs.NUM_ACTIONS - 1)


def play(choose, games: int, steps: int) -> dict[str, np.ndarray]:
  """What games `[games]` came to: reward terms and the last row."""
  rom = roms.resolve("chapter_one")
  terms = np.zeros((games, len(specs.REWARD_TERMS)))
  with vector.VectorEmulator(rom, games) as emulator:
    row = emulator.reset(range(games), starts.read("game", rom))
    for t in range(steps):
      row = emulator.step(choose(t, row))
      terms += row["reward_terms"]
  return dict(zip(specs.REWARD_TERMS, terms.T, strict=True))


def main() -> None:
  """Flags to two lines."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--model", default="runs/quickstart/world_model")
  parser.add_argument("--games", type=int, default=4)
  parser.add_argument("--steps", type=int, default=150)
  parser.add_argument("--plans", type=int, default=64)
  parser.add_argument("--ahead", type=int, default=15, help="Steps of a plan.")
  parser.add_argument("--rounds", type=int, default=3, help="Drawn anew.")
  given = parser.parse_args()

  rng = np.random.default_rng(1)
  players = {
    "random": lambda t, row: rng.integers(specs.NUM_ACTIONS, size=given.games),
    "planner": Planner(given.model, given.games, given),
  }
  for name, choose in players.items():
    came = play(choose, given.games, given.steps)
    shown = ("new_maps", "species", "wild_wins", "trainer_wins", "badges")
    print(name, ", ".join(f"{term} {came[term].mean():.2f}" for term in shown))


if __name__ == "__main__":
  try:
    main()
  except ValueError as error:
    sys.exit(f"Error: {error}")
