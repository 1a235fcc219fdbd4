"""Dreams as Gymnasium environments; the emulator's are `data_tools.env`.

Importing this module registers them, so both of these work:

    gymnasium.make("experiments.dream_env:PokeDreamer/Dream-v0", model=DIR)
    import experiments.dream_env; gymnasium.make("PokeDreamer/Dream-v0")

`model` is a run directory of a world model or a policy, the folder of an
exported one, or the name of one that comes with the package (`chapter_one` by
default). `gymnasium.make_vec` makes a batch of them, stepped in one call of
one compiled program. For `vmap` and `lax.scan` see
`pokedreamer_jax.behaviour.dream_env`, and `starts` here for its start states.
"""

import functools

import gymnasium

from experiments.dreaming.envs import DreamEnv
from experiments.dreaming.envs import DreamVectorEnv
from experiments.dreaming.envs import open_model
from experiments.dreaming.envs import starts

__all__ = ["DreamEnv", "DreamVectorEnv", "open_model", "register", "starts"]


@functools.cache
def register() -> None:
  """Makes the id known to Gymnasium; done when this module is imported."""
  gymnasium.register(
    "PokeDreamer/Dream-v0",
    entry_point="experiments.dreaming.envs:DreamEnv",
    vector_entry_point="experiments.dreaming.envs:DreamVectorEnv",
  )


register()
