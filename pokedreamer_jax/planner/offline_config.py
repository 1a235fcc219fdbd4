"""How the offline planner chooses."""

import dataclasses

from pokedreamer_jax import goal_specs


@dataclasses.dataclass(frozen=True)
class OfflineConfig:
  """How the offline planner chooses."""

  # Kinds of milestones that it follows, of those that records have.
  # Without levels it sends a weak creature to a leader (docs/planner.md).
  kinds: tuple[str, ...] = (
    *("badge", "map", "win_trainer", "own", "item", "level", "story"),
  )
  # Of these, what is not sought but taken where it is met.
  in_passing: tuple[str, ...] = ("own",)
  least_share: float = 0.75  # of the demonstrations: rarer ones were luck
  hurt_share: float = 0.45  # of full HP: from here on it heals first
  healed_share: float = 0.9  # up to here it goes on healing
  # Below so many items that catch it buys some, in a shop that is so near, up
  # to that many; 0: it never does.
  fewest_items: int = 3
  shop_cells: int = 40
  enough_items: int = 6
  enough_species: int = 14  # with so many it lets others go
  tries: int = 1  # times that a milestone is tried before another way
  # A milestone that was pursued for so long while nothing went on was tried,
  # too: battles on the way are no failures, and where they are many it would
  # never rest.
  try_env_steps: int = 300
  # One that was tried so often takes no place in the window below.
  most_tries: int = 3
  # Milestones ahead of which the one that was tried least is pursued: what one
  # cannot reach must not end a game that could go on without.
  window: int = 4

  def __post_init__(self):
    for name in ("kinds", "in_passing"):
      kinds = getattr(self, name)
      unknown = [k for k in kinds if k not in goal_specs.PREDICATES]
      if unknown:
        raise ValueError(
          f"offline.{name}: {unknown}, expected some of "
          f"{list(goal_specs.PREDICATES)}"
        )
    if not 0 <= self.hurt_share <= self.healed_share <= 1:
      raise ValueError(
        f"offline.hurt_share {self.hurt_share}, healed_share "
        f"{self.healed_share}: expected 0 <= hurt <= healed <= 1"
      )
    if not 0 <= self.least_share <= 1:
      raise ValueError(
        f"offline.least_share: {self.least_share}, expected 0 to 1"
      )
    if not 0 <= self.fewest_items <= self.enough_items:
      raise ValueError(
        f"offline.fewest_items {self.fewest_items}, enough_items "
        f"{self.enough_items}: expected 0 <= fewest <= enough"
      )
    for name in ("shop_cells", "enough_species"):
      if getattr(self, name) < 0:
        raise ValueError(
          f"offline.{name}: {getattr(self, name)}, expected at least 0"
        )
    for name in ("tries", "try_env_steps", "most_tries", "window"):
      if getattr(self, name) < 1:
        raise ValueError(
          f"offline.{name}: {getattr(self, name)}, expected at least 1"
        )
