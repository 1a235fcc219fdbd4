import collections
import lzma

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.collecting import collector
from data_tools.game import emulator as emulator_lib
from data_tools.game import roms
from data_tools.game import save_states
from data_tools.game import start_states
from data_tools.records import episodes
from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import shards
from data_tools.records import start_mix

_A, _B = "a" * 40, "b" * 40


@pytest.fixture(scope="module")
def rom():
  return roms.resolve(cartridge.GREAT_VALE)


@pytest.fixture(scope="module")
def named(rom):
  """A start state of the cartridge."""
  return start_states.names(rom.sha1)[-1]


def test_shares_are_held_and_do_not_follow_the_policies():
  mix = f"power_on=0.5,{_A}=0.3,{_B}=0.2"
  starts = [start_mix.state_of(mix, 3, i) for i in range(200)]
  counts = collections.Counter(starts)
  for sha1, share in start_mix.parse(mix).items():
    assert abs(counts[sha1] - 200 * share) <= 3
  # Of the episodes of one policy the same shares start everywhere.
  plans = [
    episodes.plan(_collection(mix, "random=0.5,sticky_random=0.5"), i)
    for i in range(200)
  ]
  joint = collections.Counter(
    plan.start for plan in plans if plan.behaviour == "random"
  )
  for sha1, share in start_mix.parse(mix).items():
    assert abs(joint[sha1] - 100 * share) <= 10
  assert starts != [start_mix.state_of(mix, 4, i) for i in range(200)]


def _collection(start_states, mix="random"):
  return episodes.Collection(
    rom_sha1="c" * 40,
    rom_kind="practice",
    start_state_sha1="",
    seed=3,
    episode_length=10,
    policy_mix=mix,
    jitter_frames=0,
    pyboy_version="2",
    start_states=start_states,
  )


def test_a_collection_without_states_keeps_its_name():
  # As computed before collections had the field.
  earlier = {
    **{2: "309ffc89aac349a8", 3: "25d993598ae03daf"},
    **{4: "81242a58d25ebdca", 5: "9b0884570cfb3df8"},
    6: "752706e280fe93be",
  }
  assert _collection("").earlier == earlier
  assert _collection(f"{_A}=1").digest != _collection("").digest


def test_episodes_start_where_their_header_says_and_can_be_played_again(
  tmp_path, rom, named
):
  mix, states = start_mix.resolve(f"power_on=0.5,{named}=0.5", rom)
  ((sha1, state),) = states.items()
  assert mix == f"power_on=0.5,{sha1}=0.5"
  collection = collector.make_collection(rom, 1, 20, "random", 30, None, mix)
  start_mix.keep(tmp_path, states, rom.sha1)
  collector.collect(tmp_path, rom, collection, 4, 1, states=states)
  index = loader.EpisodeIndex(generations.freeze(tmp_path), "all")
  found = list(index.episodes())
  assert {h.start_state_sha1 for h, _ in found} == {"", sha1}
  with emulator_lib.Emulator(rom) as game:
    for header, steps in found:
      start = start_mix.kept(tmp_path, header.start_state_sha1)
      assert start == (state if header.start_state_sha1 else None)
      game.replay_reset(header.jitter_frames, start)
      for t in range(20):
        np.testing.assert_array_equal(game.frame(), steps["frame"][t])
        game.step(int(steps["action"][t]))


def test_a_state_that_was_not_given_is_an_error(tmp_path, rom):
  collection = collector.make_collection(
    rom, 1, 20, "random", 0, None, f"{_A}=1"
  )
  with pytest.raises(ValueError, match=f"start state {_A}"):
    collector.collect(tmp_path, rom, collection, 1, 1)


def test_kept_states_are_stamped_checked_and_limited(
  tmp_path, rom, named, monkeypatch
):
  _, states = start_mix.resolve(named, rom)
  ((sha1, state),) = states.items()
  start_mix.keep(tmp_path, states, rom.sha1)
  start_mix.keep(tmp_path, states, rom.sha1)
  path = tmp_path / "states" / f"{sha1}.state.xz"
  # It is a save state like any other.
  assert emulator_lib.read_save_state(path, rom) == state
  with pytest.raises(ValueError, match="ROM SHA-1"):
    save_states.read(path, "d" * 40)
  path.write_bytes(lzma.compress(b"another"))
  with pytest.raises(ValueError, match="state SHA-1"):
    start_mix.kept(tmp_path, sha1)
  with pytest.raises(ValueError, match="No such file"):
    start_mix.kept(tmp_path, _A)
  with pytest.raises(ValueError, match="no SHA-1"):
    start_mix.kept(tmp_path, "../secret")
  monkeypatch.setattr(start_mix, "MOST_KEPT_BYTES", 100)
  with pytest.raises(ValueError, match="more than"):
    start_mix.keep(tmp_path / "other", states, rom.sha1)
  assert list(tmp_path.rglob(f"*{shards.TEMPORARY_SUFFIX}")) == []


@pytest.mark.parametrize(
  "text, words",
  [
    ("power_on=x", "power_on=x"),
    ("power_on=-1", "share above 0"),
    ("power_on,power_on", "twice"),
    ("=0.5", "NAME"),
    ("/absent.state=0.5", "No such file"),
  ],
)
def test_bad_mixes_are_one_line(rom, text, words):
  with pytest.raises(ValueError, match=words) as error:
    start_mix.resolve(text, rom)
  assert "\n" not in str(error.value)
