import numpy as np
import pytest

from data_tools.foreign import npz_files
from data_tools.foreign import npz_import
from data_tools.foreign import pokemon_dataset
from data_tools.records import generations
from tests.data_tools.foreign import npz_files_test


@pytest.fixture(scope="module", params=[True, False])
def recorded(request, tmp_path_factory):
  """Columns of three episodes of 40, 3 and 37 rows, and their generation."""
  directory = tmp_path_factory.mktemp("npz")
  arrays = npz_files_test.columns(80, ram=request.param, starts=(0, 40, 43))
  npz_files_test.write(directory, 1, arrays)
  npz_import.import_files(npz_files.find(directory), directory / "out")
  for last in (39, 42, 79):  # nobody knows what the last action led to
    arrays["actions"][last] = 7
  return arrays, generations.freeze(directory / "out"), request.param


_SINGLE = {
  "map_id": "map_ids", "x": "xs", "y": "ys", "facing": "facings",
  "in_battle": "in_battles", "dialog_open": "dialog_opens",
  "badges": "badges", "party_hp": "party_hps", "party_max_hp": "party_max_hps",
}  # fmt: skip


def test_single_steps_have_the_published_keys_and_values(recorded):
  arrays, generation, ram = recorded
  dataset = pokemon_dataset.PokemonDataset(generation)
  assert len(dataset) == 80 and dataset.has_ram == ram
  for i in (0, 39, 40, 42, 43, 79):
    sample = dataset[i]
    assert set(sample) == {"obs", "action", *(_SINGLE if ram else ())}
    obs = sample["obs"]
    assert obs.shape == (3, 144, 160) and obs.dtype == np.float32
    np.testing.assert_allclose(
      obs, arrays["obs"][i].transpose(2, 0, 1) / np.float32(255), rtol=1e-6
    )
    assert sample["action"] == arrays["actions"][i]
    for key, column in _SINGLE.items() if ram else ():
      np.testing.assert_array_equal(sample[key], arrays[column][i])
    if ram:
      assert type(sample["map_id"]) is int and type(sample["in_battle"]) is bool
  np.testing.assert_array_equal(dataset[-1]["obs"], dataset[79]["obs"])
  with pytest.raises(IndexError, match="80 of 80"):
    dataset[80]


def test_sequences_have_the_published_keys_and_stay_in_one_episode(recorded):
  arrays, generation, ram = recorded
  dataset = pokemon_dataset.PokemonDataset(generation, seq_len=8)
  starts = [*range(33), *range(43, 73)]  # none in the episode of 3 rows
  assert len(dataset) == len(starts)
  for i in (0, 32, 33, 62):
    part = slice(starts[i], starts[i] + 8)
    sample = dataset[i]
    columns = _SINGLE.values() if ram else ()
    assert set(sample) == {"obs", "actions", "rewards", *columns}
    assert sample["obs"].shape == (8, 3, 144, 160)
    np.testing.assert_allclose(
      sample["obs"],
      arrays["obs"][part].transpose(0, 3, 1, 2) / np.float32(255),
      rtol=1e-6,
    )
    assert sample["actions"].dtype == np.int64
    assert sample["rewards"].shape == (8,)
    for name in ("actions", *columns):
      np.testing.assert_array_equal(sample[name], arrays[name][part])


def test_a_transform_is_applied_to_frames_alone(recorded):
  _, generation, _ = recorded
  plain = pokemon_dataset.PokemonDataset(generation, 4)[5]
  turned = pokemon_dataset.PokemonDataset(generation, 4, lambda x: x[::-1])[5]
  np.testing.assert_array_equal(turned["obs"], plain["obs"][::-1])
  np.testing.assert_array_equal(turned["actions"], plain["actions"])


def test_windows_that_fit_nowhere_are_refused(recorded):
  _, generation, _ = recorded
  with pytest.raises(ValueError, match="seq_len: 41, longer"):
    pokemon_dataset.PokemonDataset(generation, 41)
  with pytest.raises(ValueError, match="seq_len: 0"):
    pokemon_dataset.PokemonDataset(generation, 0)
