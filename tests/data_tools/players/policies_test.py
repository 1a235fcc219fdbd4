import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import roms
from data_tools.players import policies
from pokedreamer_jax import specs


class _Steady:
  """Always presses A, as a demonstrator."""

  chosen_by = specs.BEHAVIOURS.index("demonstrator")

  def reset(self, rng):
    self.asked = 0

  def act(self, memory, row=None):
    self.asked += 1
    return specs.ACTIONS.index("a")


def _play(policy, count, seed=0):
  policy.reset(np.random.default_rng(seed))
  pairs = [(policy.act(None), policy.chosen_by) for _ in range(count)]
  return tuple(np.array(column) for column in zip(*pairs, strict=True))


@pytest.fixture(scope="module")
def rom():
  return roms.resolve(cartridge.CHAPTER_ONE)


@pytest.mark.parametrize("name", ["random", "sticky_random", "random:eps=0.5"])
def test_chance_comes_from_the_reset_alone(rom, name):
  policy = policies.make_policy(name, rom)
  first, _ = _play(policy, 200, seed=1)
  again, _ = _play(policy, 200, seed=1)
  other, _ = _play(policy, 200, seed=2)
  np.testing.assert_array_equal(first, again)
  assert (first != other).any()


def test_random_presses_every_button_equally_often(rom):
  actions, _ = _play(policies.make_policy("random", rom), 8000)
  counts = np.bincount(actions, minlength=8)
  # Mean 1000, deviation 29.6; five deviations.
  assert abs(counts - 1000).max() < 148


def test_sticky_random_repeats_itself_as_often_as_it_says(rom):
  actions, chosen_by = _play(policies.make_policy("sticky_random", rom), 8000)
  repeats = (actions[1:] == actions[:-1]).mean()
  # 0.75, and an eighth of the fresh draws; deviation 0.0046.
  expected = policies.STICKINESS + (1 - policies.STICKINESS) / 8
  assert abs(repeats - expected) < 0.025
  assert set(chosen_by) == {specs.BEHAVIOURS.index("sticky_random")}


def test_noise_is_recorded_as_random_and_the_rest_as_it_was_chosen():
  policy = policies.Epsilon(_Steady(), 0.25)
  actions, chosen_by = _play(policy, 4000)
  noise = chosen_by == specs.BEHAVIOURS.index("random")
  assert set(chosen_by) == {
    specs.BEHAVIOURS.index("random"), _Steady.chosen_by
  }  # fmt: skip
  assert abs(noise.mean() - 0.25) < 0.035  # five deviations
  assert set(actions[~noise]) == {specs.ACTIONS.index("a")}
  assert set(actions[noise]) == set(range(8))
  assert policy._policy.asked == 4000


def test_one_that_is_led_astray_goes_on_from_there():
  steady, random = _Steady(), policies.Random()
  actions, chosen_by = _play(policies.Lost(steady, random, 0.25), 8000)
  lost = chosen_by == random.chosen_by
  assert set(chosen_by) == {random.chosen_by, steady.chosen_by}
  assert abs(lost.mean() - 0.25) < 0.05
  assert not lost[0]  # it begins as itself
  assert set(actions[~lost]) == {specs.ACTIONS.index("a")}
  stretches = np.diff(np.flatnonzero(np.diff(lost.astype(int))))[::2]
  assert stretches.min() >= 5 and stretches.max() < 60
  assert steady.asked == (~lost).sum()


def test_the_demonstrator_may_be_led_astray_by_the_wanderer(rom):
  behaviour = "demonstrator:lost=0.3:eps=0.1"
  assert policies.parse_mix(f"{behaviour}=2")[0].behaviour == behaviour
  assert policies.is_lost(behaviour) and not policies.is_lost("demonstrator")
  assert policies.eps_of(behaviour) == 0.1
  assert policies.make_policy(behaviour, rom).chosen_by == (
    specs.BEHAVIOURS.index("demonstrator")
  )


def test_a_mix_is_parsed_and_its_shares_sum_to_one():
  mix = policies.parse_mix(
    "demonstrator:eps=0.2=0.5, sticky_random=0.3,random:eps=0=1.2"
  )
  assert [item.behaviour for item in mix] == [
    "demonstrator:eps=0.2", "sticky_random", "random"
  ]  # fmt: skip
  assert [item.share for item in mix] == pytest.approx([0.25, 0.15, 0.6])
  assert policies.parse_mix("random") == (policies.MixItem("random", 1.0),)


@pytest.mark.parametrize(
  "mix", ["", "walker", "random=", "random=x", "random:eps=2", "random=-1",
          "random:eps=0.1:eps=0.2", "random=1e-e", "random=0", "random;random",
          "random:lost=0.2", "demonstrator:lost=1", "demonstrator:lost=x"]
)  # fmt: skip
def test_a_malformed_mix_is_refused(mix):
  with pytest.raises(ValueError, match="policy"):
    policies.parse_mix(mix)


def test_the_valid_names_are_listed(rom):
  with pytest.raises(ValueError, match="'random', 'sticky_random', 'demonstr"):
    policies.make_policy("walker", rom)


def test_any_run_of_episodes_holds_the_shares_closely():
  mix = policies.parse_mix("demonstrator=0.5,sticky_random=0.3,random=0.2")
  for seed in range(5):
    names = [policies.behaviour_of(mix, seed, i) for i in range(200)]
    for start, count in [(0, 8), (50, 10), (0, 200), (100, 50)]:
      part = names[start : start + count]
      for item in mix:
        assert abs(part.count(item.behaviour) - count * item.share) < 2


def test_what_cannot_play_a_rom_leaves_its_mix(tmp_path, rom):
  data = bytearray(rom.read())
  data[0x7FF0] ^= 1
  data[0x14E:0x150] = roms.global_checksum(data)
  (tmp_path / "other.gb").write_bytes(data)
  other = roms.resolve(tmp_path / "other.gb")
  mix = "demonstrator:eps=0.1=0.5,random=0.5"
  assert policies.playable_mix(mix, rom) == mix
  assert policies.playable_mix(mix, other) == "random=0.5"
  left = policies.playable_mix("demonstrator", other)
  assert {i.behaviour for i in policies.parse_mix(left)} == {
    "random", "sticky_random"
  }  # fmt: skip
  with pytest.raises(ValueError, match="practice cartridges only"):
    policies.make_policy("demonstrator", other)
