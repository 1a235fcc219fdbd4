"""RAM fields of dreamt states, as far as their tokens tell them."""

from collections.abc import Mapping

import numpy as np

from pokedreamer_jax import specs

# Tokens that are a field themselves; of the six of a party the first.
_FIELDS = {
  **{"map": "map_id", "y": "y", "x": "x", "facing": "facing"},
  **{"dialog": "dialog_open", "menu": "menu_open", "menu_item": "menu_item"},
  **{"control": "has_control", "party_size": "party_size"},
  **{"dex_owned": "dex_owned", "dex_seen": "dex_seen"},
  **{"capture_items": "capture_items", "event_flags": "event_flags"},
  **{"enemy_species": "enemy_species", "enemy_level": "enemy_level"},
  **{"enemy_hp": "enemy_hp", "enemy_max_hp": "enemy_max_hp"},
  **{"active_slot": "active_slot", "move_item": "move_item"},
  **{"walk": "walk_counter", "scroll_y": "scroll_y", "scroll_x": "scroll_x"},
  **{"arriving": "arriving", "shade": "shade", "heal_items": "heal_items"},
  "blink_wait": "blink_wait",
}
_PARTY = {  # token -> field, and whose: a place in the party, None who fights
  "species": ("party_species", 0),
  "level": ("party_level", 0),
  "hp": ("party_hp", 0),
  "max_hp": ("party_max_hp", 0),
  "level2": ("party_level", 1),
  "hp2": ("party_hp", 1),
  "active_species": ("party_species", None),
  "active_level": ("party_level", None),
  "active_hp": ("party_hp", None),
  "active_max_hp": ("party_max_hp", None),
}
_BLACKOUT = 3  # of the token `battle`; the field says 255
_STARTED = ("party_size", "event_flags", "control")  # 0 on a title screen


def read(
  sizes: Mapping[str, int], numbers: np.ndarray
) -> dict[str, np.ndarray]:
  """Step fields `[N, ...]` of token numbers `[N, M]`, zero where none tells.

  A count of badges becomes as many of the lowest bits. A game is taken to run
  where somebody can be moved, or anything has begun.
  """
  rows = specs.empty_steps(len(numbers))
  value = {name: numbers[:, i] for i, name in enumerate(sizes)}
  for token, field in _FIELDS.items():
    if token in value:
      rows[field][:] = value[token]
  each = np.arange(len(numbers))
  active = value.get("active_slot", np.zeros(len(numbers), int))
  for token, (field, place) in _PARTY.items():
    if token in value:
      slot = np.clip(active, 0, 5) if place is None else place
      rows[field][each, slot] = value[token]
  if "battle" in value:
    battle = value["battle"]
    rows["in_battle"][:] = np.where(battle == _BLACKOUT, 255, battle)
  if "badges" in value:
    rows["badges"][:] = (1 << np.clip(value["badges"], 0, 8)) - 1
  if "money" in value:
    rows["money"][:] = value["money"] * 100
  started = [value[name] > 0 for name in _STARTED if name in value]
  rows["game_running"][:] = np.any(started, axis=0) if started else True
  return rows


def unknown(sizes: Mapping[str, int]) -> list[str]:
  """RAM fields that no token tells, in part or at all; they stay zero."""
  told = {_FIELDS[t] for t in sizes if t in _FIELDS}
  told |= {"in_battle"} if "battle" in sizes else set()
  told |= {t for t in ("badges", "money") if t in sizes}
  told |= {"game_running"}
  return [field.name for field in specs.RAM_FIELDS if field.name not in told]
