import json

from absl import flags
from absl.testing import flagsaver

from data_tools.records import generations
from data_tools.records import loader
from experiments import benchmark_atlas
from tests.data_tools import fakes as data_fakes


def test_rows_are_counted_over_and_over_as_if_on_other_maps(tmp_path, capsys):
  flags.FLAGS.mark_as_parsed()
  episodes = [(n, 100 + n, "random") for n in range(3)]
  data_fakes.write(tmp_path, "a", episodes, make=data_fakes.walks)
  index = loader.EpisodeIndex(generations.freeze(tmp_path), "train")
  once, path = int(index.lengths.sum()), tmp_path / "found.json"
  found = []
  for rows in (once, 2 * once + 20):
    with flagsaver.flagsaver(
      data_dir=str(tmp_path), rows=rows, json=str(path), atlas_cells=16384
    ):
      benchmark_atlas.main()
    found.append(json.loads(path.read_text()))
  one, more = found
  assert (one["rows"], more["rows"]) == (once, 2 * once + 20)
  assert one["views"] > 0 and one["cells_known"] > 1000
  assert one["pages_left_out"] == 0
  assert 2 * one["views"] < more["views"] <= 2 * one["views"] + 20
  assert more["cpu_s"] > more["counting_cpu_s"] > 0
  assert f"{2 * once + 20:,} rows in" in capsys.readouterr().out
