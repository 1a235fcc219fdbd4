"""What a model believes and what is true, as plain values for a page."""

from collections.abc import Callable
from collections.abc import Mapping
import math
from typing import Any

import jax
import numpy as np

from data_tools import cartridge
from data_tools.game import roms
from experiments.dreaming import game as game_lib
from experiments.dreaming import models
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import dream_play
from pokedreamer_jax.world_model import tokens

# Facts of a page and the tokens that hold them, the first that there is.
_FACTS = {
  "level": ("level",),
  "hp": ("active_hp", "hp"),
  "max_hp": ("active_max_hp", "max_hp"),
  "badges": ("badges",),
  "party": ("party_size",),
  "owned": ("dex_owned",),
  "items": ("capture_items",),
  "story": ("event_flags",),
}
_ENEMY = {
  "species": ("enemy_species",),
  "level": ("enemy_level",),
  "hp": ("enemy_hp",),
  "max_hp": ("enemy_max_hp",),
}
_BATTLES = ("", "wild", "trainer", "blackout")


class Reader:
  """Puts states and rows of one game into values that JSON holds."""

  def __init__(self, model: models.Model, rom: roms.Rom):
    """Knows the tokens of a model and the names of a game."""
    self._sizes = model.config.world_model.token_sizes
    self._model = model
    self._maps = rom.map_names
    read = [name for name in self._sizes if name in _READ]
    self._fields = sorted({f for name in read for f in tokens.fields(name)})
    # As one program: a dozen of small ones take a millisecond every step.
    self._numbers = jax.jit(
      lambda ram: {name: tokens.READERS[name](ram) for name in read}
    )
    world = cartridge.world(rom.sha1)
    self._species: Callable[[int], str] = (
      world.species_name if world else lambda number: f"species {number}"
    )

  def dreamt(self, shown: dream_play.Shown) -> dict[str, Any]:
    """What the dream is believed to be."""
    numbers = dict(zip(self._sizes, shown.tokens.tolist(), strict=True))
    terms = zip(specs.REWARD_TERMS, shown.terms.tolist(), strict=True)
    return {
      "dream": self._facts(numbers),
      "heads": {k: _rounded(v) for k, v in shown.heads.items()},
      "reward": _rounded(shown.reward),
      "paid": {k: round(v, 3) for k, v in terms if v > 0.05 and k != "stuck"},
      "goes_on": _rounded(shown.cont),
      **self.opinions(shown),
    }

  def opinions(self, shown: dream_play.Shown) -> dict[str, Any]:
    """What the policy makes of it; nothing without one."""
    if not self._model.has_policy:
      return {}
    found: dict[str, Any] = {
      "odds": [round(v, 3) for v in shown.odds.tolist()],
      "choice": int(shown.choice),
    }
    if self._model.params.critic is not None:
      found["value"] = _rounded(shown.value)
    return found

  def real(self, row: game_lib.Row) -> dict[str, Any]:
    """What is true, as far as tokens say it."""
    ram = {name: np.asarray(row[name]) for name in self._fields}
    numbers = {k: int(v) for k, v in self._numbers(ram).items()}
    return self._facts(numbers, bool(row["game_running"]))

  def surprise(self, shown: dream_play.Shown) -> dict[str, float]:
    """Nats by which the real row surprised: its picture and its facts."""
    return {
      "picture": _rounded(shown.surprise),
      "facts": _rounded(shown.token_surprise),
    }

  def _facts(
    self, numbers: dict[str, int], running: bool = True
  ) -> dict[str, Any]:
    found: dict[str, Any] = _read(_FACTS, numbers)
    if {"map", "y", "x"} <= set(numbers):
      place = numbers["map"]
      facing = numbers.get("facing", 0)
      found["place"] = {
        "map": place,
        "name": self._maps.get(place, f"map {place}"),
        "y": numbers["y"],
        "x": numbers["x"],
        "facing": specs.FACINGS[facing] if facing < 4 else "",
      }
    found["running"] = running
    found["text"] = bool(numbers.get("dialog", 0))
    found["battle"] = _BATTLES[min(numbers.get("battle", 0), 3)]
    if found["battle"] in ("wild", "trainer"):
      enemy: dict[str, Any] = _read(_ENEMY, numbers)
      if "species" in enemy:
        enemy["name"] = self._species(enemy.pop("species"))
      found["enemy"] = enemy
    return found


_READ = {
  *("map", "y", "x", "facing", "dialog", "battle"),
  *(name for names in _FACTS.values() for name in names),
  *(name for names in _ENEMY.values() for name in names),
}


def _read(
  facts: Mapping[str, tuple[str, ...]], numbers: Mapping[str, int]
) -> dict[str, int]:
  return {
    fact: numbers[name]
    for fact, names in facts.items()
    if (name := next((n for n in names if n in numbers), ""))
  }


def _rounded(value: Any) -> float:
  """A number that JSON can hold."""
  number = float(value)
  return round(number, 4) if math.isfinite(number) else 0.0
