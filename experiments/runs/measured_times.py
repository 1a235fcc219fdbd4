"""How long the stages of a quickstart take, as measured on 2 CPU cores.

What it announces at its start; as stages end it goes by them.
"""

from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib

# Wall time in seconds by preset and stage, of one whole run from a fresh clone
# each: tiny beside nothing, debug beside so much else that it took 634 s, of
# which these are the three minutes that it has alone.
_MEASURED_S = {
  "debug": {
    "doctor": 2.0,
    "collect": 3.0,
    "world_model": 21.0,
    "dreams": 24.0,
    "clone_all": 9.0,
    "clone": 12.0,
    "policy": 16.0,
    "play": 62.0,
    "video": 17.0,
    "report": 1.0,
  },
  "tiny": {
    "doctor": 1.0,
    "collect": 15.0,
    "world_model": 208.0,
    "dreams": 42.0,
    "clone_all": 18.0,
    "clone": 14.0,
    "policy": 160.0,
    "play": 27.0,
    "video": 13.0,
    "report": 1.0,
  },
}


def expected_s(config: config_lib.Config) -> dict[str, float]:
  """Seconds by stage; empty for a preset of which nothing was measured.

  Stages whose work a field counts are scaled by it.
  """
  measured = _MEASURED_S.get(config.preset)
  if measured is None:
    return {}
  own, than = _work(config), _work(presets.make(config.preset))
  expected = {
    name: seconds * own.get(name, 1.0) / than.get(name, 1.0)
    for name, seconds in measured.items()
  }
  # Without a clone it learns as long for each update.
  share = config.policy.scratch_updates / config.policy.updates
  return {**expected, "policy_scratch": expected["policy"] * share}


def _work(config: config_lib.Config) -> dict[str, float]:
  """What a stage does, in units of its own."""
  collect = config.collect
  return {
    "collect": collect.episodes * collect.episode_length,
    "world_model": config.train.steps * config.train.batch_size,
    "clone_all": config.clone.steps,
    "clone": config.clone.steps,
    "policy": config.policy.updates,
    "play": config.evaluate.episodes * config.play_length,
  }
