"""Films a dream beside the game that it follows, under the same buttons.

    python -m examples.dream_beside_the_game --model=runs/quickstart/policy

The policy plays; the dream sees the first frames of the game, then its buttons
alone. Writes a moving picture, and prints which frames are right in every
pixel. `generate_demo_video` does this with captions, and anew every 40 steps.
"""

import argparse
import functools
import sys

import jax
import numpy as np
from PIL import Image

from data_tools.envs import starts
from data_tools.envs import vector
from data_tools.game import frame_codec
from data_tools.game import roms
from experiments import library
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.behaviour import following
from pokedreamer_jax.behaviour import rollouts


def play(agent: library.Agent, rom: roms.Rom, steps: int):
  """Rows `[steps + 1]` of the policy's play, each `[1, ...]`, and buttons."""
  act = acting.make_act(agent.config, agent.world_params, agent.actor_params)
  state = acting.init_state(agent.config.world_model, 1)
  rows, actions = [], []
  with vector.VectorEmulator(rom, 1) as game:
    rows.append(game.reset([0], starts.read("game", rom)))
    for t in range(steps):
      row = rows[-1]
      state, action = act(
        *(state, row["frame"], acting.ram_of(row), row["is_first"]),
        jax.random.key(t),
      )
      actions.append(np.asarray(action))
      rows.append(game.step(actions[-1]))
  return rows, actions


def main() -> None:
  """Flags to a film."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--model", default="runs/quickstart/policy")
  parser.add_argument("--seen", type=int, default=4, help="Frames seen first.")
  parser.add_argument("--steps", type=int, default=40, help="Then dreamt.")
  parser.add_argument("--out", default="dream.webp")
  given = parser.parse_args()

  agent = library.load_agent(given.model)
  rom = roms.resolve("chapter_one")
  rows, actions = play(agent, rom, given.seen + given.steps)

  follow = jax.jit(functools.partial(following.follow, agent.config))
  state, before = following.nothing(agent.config, 1), np.array([specs.PASS])
  for t in range(given.seen + 1):
    key = jax.random.key(t)
    state = follow(agent.world_params, key, state, before, rows[t])
    before = actions[t]
  dreamt = rollouts.rollout(
    *(agent.config, agent.world_params, jax.random.key(0), state),
    np.stack(actions[given.seen :], axis=1),
    likely=True,
    frames=True,
  )
  game = np.stack([row["frame"][0] for row in rows[given.seen :]])
  dream = np.asarray(dreamt.frame)[0]
  right = (game == dream).all(axis=(1, 2))
  pair = [frame_codec.unpack_rgb(frames) for frames in (game, dream)]
  film = [Image.fromarray(both) for both in np.concatenate(pair, axis=2)]
  film[0].save(
    *(given.out,),
    save_all=True,
    append_images=film[1:],
    duration=200,
    lossless=True,
  )
  print("right", "".join(".#"[int(same)] for same in right))
  print(f"wrote {given.out}: the game, the dream; {len(film)} frames")


if __name__ == "__main__":
  try:
    main()
  except ValueError as error:
    sys.exit(f"Error: {error}")
