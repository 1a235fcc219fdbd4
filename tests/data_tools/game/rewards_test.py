import numpy as np
import pytest

from data_tools.game import game_state
from data_tools.game import ram_addresses as ram
from data_tools.game import rewards
from pokedreamer_jax import specs

_NAMES = specs.REWARD_TERMS


class _Game:
  """A memory image that is changed by hand, one row a step."""

  def __init__(self):
    self.memory = np.zeros(1 << 16, np.uint8)
    self.rows = []
    self.put(STATUS_FLAGS_6=1, PARTY_SIZE=1, MAP_ID=1)
    self.member(0, species=10, hp=20, xp=100)

  def put(self, **values):
    for name, value in values.items():
      data = [value] if isinstance(value, int) else list(value)
      start = getattr(ram, name)
      self.memory[start : start + len(data)] = data
    return self

  def member(self, slot, species=None, hp=None, xp=None, birth=None):
    base = ram.PARTY + slot * ram.PARTY_STRIDE
    if species is not None:
      self.memory[ram.PARTY_SPECIES + slot] = species
    if hp is not None:
      self.memory[base + 1 : base + 3] = divmod(hp, 256)
    if xp is not None:
      self.memory[base + 14 : base + 17] = 0, xp >> 8, xp & 255
    if birth is not None:
      self.memory[base + 0x1B] = birth
    return self

  def step(self, **values):
    self.put(**values)
    row = np.zeros(ram.RAM_BYTES, np.uint8)
    game_state.copy_ranges(self.memory, row)
    self.rows.append(row)
    return self

  def enemy(self, hp, **values):
    return self.step(ENEMY_HP=divmod(hp, 256), **values)

  def judge(self, cuts=()):
    """Totals by term; the episode is cut into chunks at `cuts`."""
    return self.terms(cuts)["reward_terms"].sum(axis=0)

  def terms(self, cuts=()):
    tracker = rewards.RewardTracker()
    parts = [
      tracker.update(part, game_state.decode(part))
      for part in np.split(np.array(self.rows), cuts)
    ]
    return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}

  def paid(self):
    """Terms that are not zero, stuck left out."""
    totals = dict(zip(_NAMES, self.judge().tolist(), strict=True))
    return {k: v for k, v in totals.items() if v and k != "stuck"}


def test_a_quiet_step_is_stuck_and_the_first_row_receives_nothing():
  terms = _Game().step().step().step().terms()["reward_terms"]
  assert terms[:, _NAMES.index("stuck")].tolist() == [0, 1, 1]
  assert terms[:, : _NAMES.index("stuck")].sum() == 0


def test_progress_is_not_stuck():
  game = _Game().step().step(MAP_ID=2).step()
  assert game.terms()["reward_terms"][:, -1].tolist() == [0, 0, 1]


# Badges, species, maps.


def test_badges_count_once_each():
  game = _Game().step(BADGE_FLAGS=1).step(BADGE_FLAGS=3).step(BADGE_FLAGS=7)
  assert game.paid() == {"badges": 2}  # the first row holds one already
  game = _Game().step()
  for flags in (1, 0, 1, 2, 3):
    game.step(BADGE_FLAGS=flags)
  assert game.paid() == {"badges": 2}


def test_species_count_once_each():
  game = _Game().step()
  for owned in (1, 0, 1, 3):
    game.step(DEX_OWNED=owned)
  assert game.paid() == {"species": 2}


def test_walking_between_two_maps_pays_once():
  game = _Game().step()
  for map_id in (2, 1, 2, 1, 2, 200):
    game.step(MAP_ID=map_id)
  assert game.paid() == {"new_maps": 2}
  visited = np.unpackbits(game.terms()["visited_maps"][-1], bitorder="little")
  assert np.flatnonzero(visited).tolist() == [1, 2, 200]


def test_the_visited_set_is_that_of_each_row():
  game = _Game().step().step(MAP_ID=2).step(MAP_ID=9)
  visited = game.terms()["visited_maps"]
  assert np.bitwise_count(visited).sum(axis=1).tolist() == [1, 2, 3]
  assert visited[0, 0] == 0b10


def test_what_a_save_holds_is_no_achievement():
  game = _Game().put(STATUS_FLAGS_6=0).step().step()
  game.step(STATUS_FLAGS_6=1, BADGE_FLAGS=255, DEX_OWNED=(255,) * 19, MAP_ID=7)
  assert game.step().paid() == {}


def test_turning_the_game_off_and_on_pays_nothing():
  game = _Game().step(BADGE_FLAGS=1)
  for _ in range(3):
    game.step(STATUS_FLAGS_6=0).member(0, xp=1).step()
    game.member(0, xp=100).step(STATUS_FLAGS_6=1).step()
  assert game.paid() == {}
  off = game.terms()["reward_terms"][[1, 2, 3]]
  assert off.sum() == 0  # nor is it stuck


# Experience and HP.


def test_experience_of_the_same_party_counts():
  game = _Game().step().member(0, xp=130).step().member(0, xp=400).step()
  assert game.paid() == {"xp": 300}


def test_members_who_come_and_go_bring_no_experience():
  game = _Game().step()
  for _ in range(3):
    game.member(1, species=11, xp=5000, hp=50).step(PARTY_SIZE=2)
    game.step(PARTY_SIZE=1)
  assert game.paid() == {}


@pytest.mark.parametrize("species", [10, 11])
def test_changing_places_pays_nothing(species):
  game = _Game().put(PARTY_SIZE=2)
  pair = [dict(species=10, xp=100, hp=20), dict(species=species, xp=900, hp=9)]
  for turn in range(6):
    game.member(0, **pair[turn % 2]).member(1, **pair[1 - turn % 2]).step()
  assert game.paid() == {}


def test_an_exchanged_member_of_the_same_species_brings_nothing():
  game = _Game().member(0, birth=3).step()
  game.member(0, birth=4, xp=9000, hp=1).step()
  assert game.paid() == {}


def test_healing_pays_nothing_and_losing_counts_every_point():
  game = _Game().step()
  for hp in (15, 20, 15, 20):
    game.member(0, hp=hp).step()
  assert game.paid() == {"hp_lost": 10}


def test_fainting_counts_as_lost_hp_and_the_healing_after_it_pays_nothing():
  game = _Game().step(IN_BATTLE=1).member(0, hp=0).step()
  game.step(IN_BATTLE=255).member(0, hp=20).step(IN_BATTLE=0, MAP_ID=1)
  assert game.paid() == {"hp_lost": 20}


# Battles.


def _battle(kind=1):
  """Walks into a battle and sees the enemy alive."""
  game = _Game().step()
  return game.step(IN_BATTLE=kind, BATTLE_RESULT=0).enemy(12)


@pytest.mark.parametrize(
  ("kind", "name"), [(1, "wild_wins"), (2, "trainer_wins")]
)
def test_a_won_battle_counts_when_it_is_over(kind, name):
  game = _battle(kind).enemy(0).enemy(0)
  assert game.paid() == {}
  game.step(IN_BATTLE=0).step()
  assert game.paid() == {name: 1}
  assert game.terms()["reward_terms"][5, _NAMES.index(name)] == 1


def test_a_trainer_with_three_counts_once():
  game = _battle(2).enemy(0).enemy(9).enemy(0).enemy(9).enemy(0)
  assert game.step(IN_BATTLE=0).paid() == {"trainer_wins": 1}


def test_running_and_catching_are_no_wins():
  game = _battle().enemy(3).step(BATTLE_RESULT=2).step(IN_BATTLE=0)
  assert game.paid() == {}
  game = _battle().enemy(0).step(BATTLE_RESULT=2).step(IN_BATTLE=0)
  assert game.paid() == {}


def test_an_enemy_that_fled_is_no_win():
  # Result 0 is also what is left when nobody decided the battle.
  assert _battle().enemy(3).step(IN_BATTLE=0).paid() == {}
  game = _battle().step(ESCAPED_FROM_BATTLE=1).enemy(0)
  assert game.step(ESCAPED_FROM_BATTLE=0, IN_BATTLE=0).paid() == {}


def test_stale_enemies_win_nothing():
  # The last enemy's 0 HP stand in memory until the next one is sent out.
  game = _Game().put(ENEMY_HP=(0, 0)).step().step(IN_BATTLE=1)
  assert game.step(IN_BATTLE=1).step(IN_BATTLE=0).paid() == {}


def test_blackouts_and_lost_battles_are_no_wins():
  game = _battle().enemy(0).step(IN_BATTLE=255).step(IN_BATTLE=0)
  assert game.paid() == {}
  game = _battle().enemy(0).step(IN_BATTLE=0, BATTLE_RESULT=1)
  assert game.paid() == {}
  game = _battle().enemy(0).member(0, hp=0).step(IN_BATTLE=0)
  assert "wild_wins" not in game.paid()


def test_a_staged_battle_is_no_win():
  assert _battle().enemy(0, BATTLE_TYPE=1).step(IN_BATTLE=0).paid() == {}


def test_each_battle_is_judged_afresh():
  game = _battle().enemy(0).step(IN_BATTLE=0)
  # A second battle, left before the enemy of it was seen.
  game.step(IN_BATTLE=1).step(IN_BATTLE=0)
  game.step(IN_BATTLE=1).enemy(5).enemy(0).step(IN_BATTLE=0)
  assert game.paid() == {"wild_wins": 2}


# Endings and chunks.


def test_the_world_ends_when_the_game_is_beaten_here():
  game = _Game().step().step(HALL_OF_FAME=1).step()
  assert game.terms()["is_terminal"].tolist() == [False, True, True]
  game = _Game().step(HALL_OF_FAME=3).step().step(HALL_OF_FAME=4)
  assert game.terms()["is_terminal"].tolist() == [False, False, True]


def test_rewards_do_not_depend_on_where_chunks_are_cut():
  rng = np.random.default_rng(0)
  game = _Game()
  for _ in range(400):
    game.member(0, hp=int(rng.integers(0, 30)), xp=int(rng.integers(0, 999)))
    game.member(0, birth=int(rng.random() < 0.3))
    game.step(
      STATUS_FLAGS_6=int(rng.random() < 0.95),
      MAP_ID=int(rng.integers(0, 50)),
      BADGE_FLAGS=int(rng.integers(0, 256)) & int(rng.integers(0, 256)),
      DEX_OWNED=int(rng.integers(0, 256)),
      IN_BATTLE=int(rng.choice([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 255])),
      ENEMY_HP=(0, int(rng.choice([0, 7]))),
      BATTLE_RESULT=int(rng.random() < 0.2),
    )
  whole = game.terms()
  assert (whole["reward_terms"].sum(axis=0) > 0).all()
  for cuts in ([64, 128, 192, 256], range(1, 400), [399]):
    parts = game.terms(cuts)
    for name in whole:
      np.testing.assert_array_equal(parts[name], whole[name], err_msg=name)


def test_a_game_that_nobody_can_read_pays_nothing():
  terms = rewards.no_rewards(5)
  assert {k: v.shape for k, v in terms.items()} == {
    "reward_terms": (5, 8), "visited_maps": (5, 32), "is_terminal": (5,)
  }  # fmt: skip
  assert not any(array.any() for array in terms.values())
