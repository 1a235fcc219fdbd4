"""The scripted player wins chapter one, also when it is pushed about."""

import hashlib

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import emulator
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.players import demonstrator_small
from pokedreamer_jax import specs

WIN_LIMIT = 400  # steps; with 20 % noise 150 to 350 were measured


def make_player():
  sha1 = hashlib.sha1(cartridge.CHAPTER_ONE.read_bytes()).hexdigest()
  return demonstrator_small.Demonstrator(cartridge.world(sha1))


def fresh_game(seed):
  game = emulator.Emulator(roms.resolve(str(cartridge.CHAPTER_ONE)))
  game.reset(seed, jitter_frames=24)
  return game


def run(seed, limit, noise, random_steps=0):
  """Plays one episode; returns the actions and the last memory's facts."""
  rng = np.random.default_rng(seed)
  player_rng = rng.spawn(1)[0]
  game = fresh_game(seed)
  player = make_player()
  player.reset(player_rng)
  actions = []
  for step in range(limit + random_steps):
    action = player.act(game.memory)
    if step < random_steps or rng.random() < noise:
      action = int(rng.integers(specs.NUM_ACTIONS))
    assert 0 <= action < specs.NUM_ACTIONS
    game.step(action)
    actions.append(action)
    if game.memory[ram.HALL_OF_FAME]:
      break
  result = {
    "actions": actions,
    "beaten": game.memory[ram.HALL_OF_FAME],
    "badges": game.memory[ram.BADGE_FLAGS],
    "owned": game.memory[ram.DEX_OWNED].bit_count(),
  }
  game.close()
  return result


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_wins_from_power_on(noise):
  results = [run(seed, WIN_LIMIT, noise) for seed in range(6)]
  assert all(r["beaten"] == 1 and r["badges"] == 1 for r in results)
  assert max(r["owned"] for r in results) >= 2


def test_wins_after_others_have_played():
  for seed in range(4):
    result = run(seed, WIN_LIMIT, 0.0, random_steps=200)
    assert result["beaten"] == 1


def test_random_player_earns_no_badge():
  for seed in range(6):
    assert run(seed, 0, 1.0, random_steps=500)["badges"] == 0


def test_repeats_by_seed_and_varies_between_seeds():
  first = run(11, WIN_LIMIT, 0.0)["actions"]
  assert first == run(11, WIN_LIMIT, 0.0)["actions"]
  assert first != run(12, WIN_LIMIT, 0.0)["actions"]


def test_one_player_serves_many_episodes():
  # A reset forgets what the last episode was after.
  player = make_player()
  game = fresh_game(0)
  choices = []
  for _ in range(2):
    player.reset(np.random.default_rng(7))
    game.reset(0, jitter_frames=24)
    actions = []
    for _ in range(120):
      actions.append(player.act(game.memory))
      game.step(actions[-1])
    choices.append(actions)
  game.close()
  assert choices[0] == choices[1]
