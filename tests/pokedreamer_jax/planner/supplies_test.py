"""Errands to shops: where there is too little, and a shop near enough."""

import dataclasses

from pokedreamer_jax.planner import offline_config
from pokedreamer_jax.planner import supplies
from pokedreamer_jax.planner import walking
from tests.pokedreamer_jax.planner import games

_SHOP = (1, 0, 4)
_CONFIG = offline_config.OfflineConfig(
  fewest_items=2, enough_items=4, shop_cells=4
)


def _supplies(prices=None, **config):
  known = games.small_world()
  known = dataclasses.replace(known, shops=prices or {_SHOP: 200})
  config = dataclasses.replace(_CONFIG, **config)
  return supplies.Supplies(known, walking.Walks(known), config)


def _goals(errands, failed=False, went_on=False, **row):
  """The first goal on the way, of a row on which one stands, as words."""
  errands.asked(went_on, failed)
  values = {"y": 0, "x": 0, "money": 500, "capture_items": 0, **row}
  state = games.followed(games.row(**values)).moment.state
  reply = next(errands.buy(state), None)
  if reply is None:
    return None
  return games.first(errands._knowledge, reply, state, stride=2)


def test_whoever_has_too_little_is_led_to_a_shop_and_buys_until_it_is_enough():
  errands = _supplies()
  assert _goals(errands, capture_items=2) is None  # enough to begin with
  assert _goals(errands, capture_items=1) == "reach tile 1 0 2"
  assert _goals(errands, capture_items=1, x=4) == "get capture item"
  assert _goals(errands, capture_items=3, x=4) == "get capture item"
  assert _goals(errands, capture_items=4, x=4) is None
  assert _goals(errands, capture_items=3, x=4) is None


def test_no_money_and_no_shop_near_are_no_errand():
  assert _goals(_supplies(), money=199) is None
  assert _goals(_supplies(), money=200) is not None
  assert _goals(_supplies(shop_cells=3)) is None
  assert _goals(_supplies({(3, 0, 0): 200})) is None
  assert _goals(_supplies(fewest_items=0)) is None
  assert _goals(_supplies(), dex_owned=14) is None  # enough species
  # Of two shops that which one can pay.
  dear = {(1, 0, 1): 900, _SHOP: 200}
  assert _goals(_supplies(dear)) == "reach tile 1 0 2"


def test_what_leads_nowhere_twice_is_left_until_the_game_goes_on():
  errands = _supplies()
  assert _goals(errands) is not None
  assert _goals(errands, failed=True) is not None
  assert _goals(errands, failed=True) is None
  assert _goals(errands, failed=True) is None
  assert _goals(errands, went_on=True) is not None
  # What failed was something else.
  for _ in range(4):
    errands.asked(False, True)
  assert _goals(errands) is not None
