import dataclasses

import numpy as np
import pytest

from data_tools import cartridge
from data_tools.game import clocks
from data_tools.game import emulator
from data_tools.game import game_state
from data_tools.game import roms
from data_tools.players import policies
from data_tools.records import episodes
from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import replay
from data_tools.records import shards
from data_tools.records import start_mix
from pokedreamer_jax import specs

_LENGTH = 130
_SEED = 5


@pytest.fixture(scope="module")
def recording():
  """A noisy demonstrator's episode on the practice cartridge."""
  rom = roms.resolve(None)
  policy = policies.make_policy("demonstrator:eps=0.3", rom)
  with emulator.Emulator(rom) as game:
    jitter = game.reset(_SEED, None, 60)
    chunks = list(episodes.play(game, policy, _SEED, _LENGTH))
  steps = {
    name: np.concatenate([chunk[name] for chunk in chunks])
    for name in chunks[0]
  }
  header = shards.EpisodeHeader(
    collection="c",
    episode=0,
    seed=_SEED,
    behaviour="demonstrator:eps=0.3",
    rom_sha1=rom.sha1,
    rom_kind=rom.kind,
    start_state_sha1="",
    jitter_frames=jitter,
    pyboy_version=emulator.pyboy_version(),
  )
  return rom, header, steps


def _branch(recording, rows, steps, wait_frames):
  rom, header, recorded = recording
  return [
    made[0]
    for made in replay.branches(
      rom, header, recorded["action"], rows, steps, [wait_frames]
    )
  ]


def test_without_waiting_a_branch_is_the_recording(recording):
  recorded, rows, steps = recording[2], [0, 7, 60, 61], [1, 2, 50]
  branches = _branch(recording, rows, steps, 0)
  assert len(branches) == len(rows)
  for row, (frames, places) in zip(rows, branches, strict=True):
    at = [row + step for step in steps]
    np.testing.assert_array_equal(frames, recorded["frame"][at])
    for i, name in enumerate(("map_id", "y", "x")):
      np.testing.assert_array_equal(places[:, i], recorded[name][at])


def test_with_other_numbers_nothing_is_late(recording):
  rom, header, recorded = recording
  rows = list(range(20, 70, 5))
  found = list(
    replay.branches(
      *(rom, header, recorded["action"], rows, [], ()),
      chances=(1, 2, 3),
      chance_steps=[1, 60],
    )
  )
  assert [len(made) for made in found] == [3] * len(rows)
  frames = np.stack([[frame for frame, _ in made] for made in found])
  truth = recorded["frame"][np.array(rows)[:, None] + [1, 60]]
  same = (frames == truth[:, None]).all(axis=(-2, -1))  # [rows, 3, 2]
  assert same[..., 0].mean() >= 0.9
  assert not same[..., 1].all()
  # Other seeds are other lucks.
  assert (frames[:, 0, 1] != frames[:, 1, 1]).any()


def test_after_waiting_chance_differs_but_the_first_step_hardly(recording):
  recorded, rows = recording[2], list(range(20, 70, 5))
  branches = _branch(recording, rows, [1, 60], 1)
  places = np.stack([place for _, place in branches])
  truth = np.stack([recorded[n] for n in ("map_id", "y", "x")], axis=-1)
  same = [
    (places[:, i] == truth[[row + step for row in rows]]).all(axis=1).mean()
    for i, step in enumerate((1, 60))
  ]
  assert same[0] >= 0.8
  assert same[1] < 1.0


def _assert_same(played, recorded, fields):
  for name in fields:
    np.testing.assert_array_equal(played[name], recorded[name], err_msg=name)


_REPLAYED = [f.name for f in specs.STEP_FIELDS if f.name != "behaviour"]


def _joined(chunks):
  chunks = list(chunks)
  return {name: np.concatenate([c[name] for c in chunks]) for name in chunks[0]}


def test_every_field_of_every_row_comes_back(recording):
  rom, header, recorded = recording
  played = _joined(replay.play_again(rom, header, recorded["action"]))
  _assert_same(played, recorded, _REPLAYED)


@pytest.fixture(scope="module")
def from_a_state(tmp_path_factory):
  """Episodes of the great vale from a start state, read from their records."""
  rom = roms.resolve(str(cartridge.GREAT_VALE))
  start = emulator.read_save_state("great_vale/first_badge", rom)
  collection = episodes.Collection(
    rom_sha1=rom.sha1,
    rom_kind=rom.kind,
    start_state_sha1=emulator.state_sha1(start),
    seed=8,
    episode_length=260,
    policy_mix="demonstrator:eps=0.3",
    jitter_frames=60,
    pyboy_version=emulator.pyboy_version(),
  )
  folder = tmp_path_factory.mktemp("vale")
  (folder / generations.SHARDS_DIR).mkdir()
  with (
    emulator.Emulator(rom) as game,
    shards.ShardWriter(
      folder / generations.SHARDS_DIR, "a", committed=lambda _, done: None
    ) as writer,
  ):
    for number in range(2):
      plan = episodes.plan(collection, number)
      frames = game.reset(plan.seed, start, collection.jitter_frames)
      writer.begin(episodes.header(collection, plan, frames))
      policy = policies.make_policy(plan.behaviour, rom)
      for steps in episodes.play(game, policy, plan.seed, 260):
        writer.write(steps)
      writer.end({})
    writer.commit()
  index = loader.EpisodeIndex(generations.freeze(folder), "all")
  return rom, start, index


def test_an_episode_from_a_start_state_comes_back_bit_for_bit(from_a_state):
  rom, start, index = from_a_state
  fields = tuple(field.name for field in specs.STEP_FIELDS)
  for place in (1, 0):
    header = index.headers[place]
    recorded = index.read(place, 0, 260, fields)
    played = _joined(replay.play_again(rom, header, recorded["action"], start))
    _assert_same(played, recorded, _REPLAYED)
    assert len(np.unique(recorded["frame"], axis=0)) > 50
    # Any row by itself, in an emulator that has been elsewhere.
    with emulator.Emulator(rom) as game:
      for row in (259, 0, 64, 131):
        replay.enter(game, header, recorded["action"], row, start)
        np.testing.assert_array_equal(game.frame(), recorded["frame"][row])
        now = game_state.decode(game.ram()[None])
        now |= clocks.decode(game.ram()[None], rom.sha1, now["menu_open"])
        for field in specs.RAM_FIELDS:
          np.testing.assert_array_equal(
            now[field.name][0], recorded[field.name][row], err_msg=field.name
          )
      with pytest.raises(ValueError, match="row: 260"):
        replay.enter(game, header, recorded["action"], 260, start)


def test_branches_leave_from_episodes_of_a_start_state(from_a_state):
  rom, start, index = from_a_state
  recorded = index.read(0, 0, 260, ("action", "frame"))
  branches = replay.branches(
    rom, index.headers[0], recorded["action"], [40], [1, 9], [0], start
  )
  ((frames, _),) = next(branches)
  np.testing.assert_array_equal(frames, recorded["frame"][[41, 49]])


def test_only_the_very_start_state_will_do(from_a_state, tmp_path):
  rom, start, index = from_a_state
  header = index.headers[0]
  replay.check_header(rom, header, start)
  assert replay.find_start(header, tmp_path) == start
  with pytest.raises(ValueError, match=r"start_state_sha1 .*, here power-on"):
    replay.check_header(rom, header)
  other = emulator.read_save_state("great_vale/home", rom)
  with pytest.raises(ValueError, match="start_state_sha1"):
    next(replay.play_again(rom, header, np.zeros(3, np.uint8), other))
  flipped = bytes([start[0] ^ 1]) + start[1:]
  with pytest.raises(ValueError, match="start_state_sha1"):
    replay.check_header(rom, header, flipped)
  unknown = dataclasses.replace(header, start_state_sha1="1" * 40)
  assert replay.find_start(unknown, tmp_path) is None
  # One that is kept beside the records needs no name.
  sha1 = emulator.state_sha1(flipped)
  start_mix.keep(tmp_path, {sha1: flipped}, rom.sha1)
  elsewhere = dataclasses.replace(header, start_state_sha1=sha1)
  assert replay.find_start(elsewhere, tmp_path) == flipped
  power_on = dataclasses.replace(header, start_state_sha1="")
  assert replay.find_start(power_on, tmp_path) is None
  with pytest.raises(ValueError, match="start_state_sha1 power-on, here"):
    replay.check_header(rom, power_on, start)


@pytest.mark.parametrize(
  "field", ["rom_sha1", "pyboy_version", "start_state_sha1"]
)
def test_another_origin_is_refused_by_name(recording, field):
  rom, header, _ = recording
  other = dataclasses.replace(header, **{field: "0123"})
  with pytest.raises(ValueError, match=rf"{field} 0123, here"):
    replay.check_header(rom, other)
