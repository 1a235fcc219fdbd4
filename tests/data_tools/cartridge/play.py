"""Playing a practice cartridge, and what its screen shows."""

import numpy as np

from data_tools.game import ram_addresses as ram
from pokedreamer_jax import specs


def shadow_screen(memory):
  return np.array(memory[0xC3A0:0xC508]).reshape(18, 20)


def shown_screen(memory):
  """Tile ids `[18, 20]` on the screen, from video memory and registers."""
  control, scroll_x, scroll_y = memory[0xFF40], memory[0xFF43], memory[0xFF42]
  background = 0x9C00 if control & 0x08 else 0x9800
  window = 0x9C00 if control & 0x40 else 0x9800
  tiles = np.array(memory[background : background + 1024]).reshape(32, 32)
  tiles = np.roll(tiles, (-(scroll_y // 8), -(scroll_x // 8)), (0, 1))
  screen = tiles[:18, :20].copy()
  window_row = memory[0xFF4A] // 8
  if control & 0x20 and window_row < 18:
    tiles = np.array(memory[window : window + 1024]).reshape(32, 32)
    screen[window_row:] = tiles[: 18 - window_row, :20]
  return screen


def where(memory):
  return memory[ram.MAP_ID], memory[ram.PLAYER_X], memory[ram.PLAYER_Y]


def play(game, player, rng, steps, noise=0.0):
  """Yields the memory after each step; ends early with the game."""
  for _ in range(steps):
    action = player.act(game.memory)
    if rng.random() < noise:
      action = int(rng.integers(specs.NUM_ACTIONS))
    game.step(action)
    yield game.memory
    if game.memory[ram.HALL_OF_FAME]:
      return
