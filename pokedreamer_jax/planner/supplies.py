"""What a game needs to go on: health, and something to catch creatures with."""

from collections.abc import Iterator

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import knowledge as knowledge_lib
from pokedreamer_jax.planner import offline_config
from pokedreamer_jax.planner import progress
from pokedreamer_jax.planner import schema
from pokedreamer_jax.planner import walking

Goal = goal_specs.Goal
_TRIES = 2  # at a shop, before it is left


class Supplies:
  """Errands of one game to healers and shops, with hysteresis."""

  def __init__(
    self,
    knowledge: knowledge_lib.Knowledge,
    walks: walking.Walks,
    config: offline_config.OfflineConfig,
  ):
    """Nothing is needed yet; `knowledge` says where there is what."""
    self._knowledge = knowledge
    self._walks = walks
    self._config = config
    self._healing = False
    self._shopping = False
    self._named = False  # whether the way to a shop is what was named last
    self._in_vain = 0  # times that this led nowhere, since the game went on

  def asked(self, went_on: bool, failed: bool) -> None:
    """The planner is asked: since the game went on, or a goal led nowhere."""
    if went_on:
      self._in_vain = 0
    if failed and self._named:
      self._in_vain += 1
    self._named = False

  def is_hurt(self, state: schema.State) -> bool:
    """Whether to heal, until all is well."""
    share = (
      self._config.healed_share if self._healing else self._config.hurt_share
    )
    self._healing = progress.is_hurt(state, share)
    return self._healing

  def heal(self, state: schema.State) -> Iterator[schema.Reply]:
    """To heal, where a place for that is here or a way leads to one."""
    places = set(self._knowledge.healing)
    if state.map_id in {cell[0] for cell in places}:
      yield schema.Reply(Goal("heal"), "hurt: healing is done on this map")
    elif self._walks.onward(state.cell, places) is not None:
      yield schema.Reply(Goal("heal"), "hurt: there is a way to heal")

  def buy(self, state: schema.State) -> Iterator[schema.Reply]:
    """To buy what catches in a shop that is near.

    Nothing where there is enough, no money or no shop near, or where it was
    tried in vain.
    """
    config, prices = self._config, self._knowledge.shops
    wanted = config.enough_items if self._shopping else config.fewest_items
    places = {at for at, price in prices.items() if price <= state.money}
    self._shopping = (
      state.capture_items < wanted
      and state.dex_owned < config.enough_species
      and self._in_vain < _TRIES
      and self._walks.is_near(state.cell, places, config.shop_cells)
    )
    if self._shopping:
      self._named = True
      yield schema.Reply(Goal("item"), "what catches is sold near here")
