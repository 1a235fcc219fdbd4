"""Knowledge is made of a collection's records and read back."""

import pytest

from data_tools.records import generations
from data_tools.records import shards as shards_lib
from experiments.playing import planner_knowledge
from pokedreamer_jax.planner import knowledge
from tests.data_tools import fakes


def _generation(tmp_path):
  folder = tmp_path / generations.SHARDS_DIR
  folder.mkdir()
  with shards_lib.ShardWriter(folder, "a") as writer:
    for number in range(2):
      writer.begin(fakes.header(number))
      for chunk in fakes.chunks(fakes.steps(70, number)):
        writer.write(chunk)
      writer.end({})
    writer.commit()
  return generations.freeze(tmp_path)


def test_what_is_learned_is_what_is_read(tmp_path):
  generation = _generation(tmp_path)
  path = tmp_path / planner_knowledge.FILE
  written = planner_knowledge.write(generation, "0" * 40, path)
  assert knowledge.load(path) == written
  assert planner_knowledge.learn(generation, "0" * 40) == written
  assert written.about["episodes"] == 2


def test_records_of_another_cartridge_teach_nothing(tmp_path):
  with pytest.raises(ValueError, match="no episode of ROM 111111111111"):
    planner_knowledge.learn(_generation(tmp_path), "1" * 40)
