"""The games as Gymnasium environments, one Game Boy each.

Importing this module registers them, so both of these work:

    gymnasium.make("data_tools.env:PokeDreamer/PracticeSmall-v0")
    import data_tools.env; gymnasium.make("PokeDreamer/PracticeSmall-v0")

| id | game |
|---|---|
| PokeDreamer/PracticeSmall-v0 | chapter one of the practice cartridge |
| PokeDreamer/Practice-v0 | the larger practice cartridge |
| PokeDreamer/PokemonRed-v0 | Pokemon Red or Blue: give `rom="FILE"` |

`gymnasium.make_vec` makes the batched `data_tools.envs.vector_env.VectorEnv`.
Episodes of the practice cartridges begin with the first free step of a game,
those of Pokemon Red at power-on; `save_state` chooses. Nothing has to be closed
for a clean end.

Gymnasium's own wrappers that resize (`ResizeObservation`, `AtariPreprocessing`)
or film (`RecordVideo`, with `render_mode="rgb_array"`) need OpenCV and moviepy,
which come with `pip install "gymnasium[other]"`; nothing here needs them.
"""

import functools

import gymnasium

from data_tools.envs.env import PokeDreamerEnv
from data_tools.envs.games import GAMES
from data_tools.envs.games import find_rom
from data_tools.envs.vector_env import VectorEnv

__all__ = ["GAMES", "PokeDreamerEnv", "VectorEnv", "find_rom", "register"]


@functools.cache
def register() -> None:
  """Makes the ids known to Gymnasium; done when this module is imported."""
  for game, name in GAMES.items():
    gymnasium.register(
      name,
      entry_point="data_tools.envs.env:PokeDreamerEnv",
      vector_entry_point="data_tools.envs.vector_env:VectorEnv",
      kwargs={"game": game},
    )


register()
