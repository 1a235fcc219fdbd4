"""Knowledge is made of a collection's records and read back."""

import dataclasses

import pytest

from data_tools.records import generations
from data_tools.records import shards as shards_lib
from experiments.playing import planner_knowledge
from pokedreamer_jax.planner import knowledge
from tests.data_tools import fakes

_HEADERS = (fakes.header(0), fakes.header(1))


def _generation(tmp_path, headers=_HEADERS):
  folder = tmp_path / generations.SHARDS_DIR
  folder.mkdir()
  with shards_lib.ShardWriter(folder, "a") as writer:
    for number, header in enumerate(headers):
      writer.begin(header)
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


def test_whole_demonstrated_games_alone_show_the_milestones(
  tmp_path, monkeypatch
):
  shown = []

  class Learned:
    def add(self, steps, demonstrated):
      shown.append((int(steps["map_id"][0]), bool(demonstrated)))

    def to_dict(self, rom_sha1):
      return {"rom_sha1": rom_sha1}

  monkeypatch.setattr(planner_knowledge.experience, "Experience", Learned)
  began = {"start_state_sha1": "2" * 40}
  headers = [
    fakes.header(0, "demonstrator:eps=0.2"),
    fakes.header(1, "random"),
    fakes.header(2, "demonstrator:lost=0.3"),  # led astray: not the way
    fakes.header(3, "demonstrator:lost=0.3:eps=0.1"),
    dataclasses.replace(fakes.header(4, "demonstrator:eps=0.2"), **began),
    fakes.header(5, "demonstrator"),
  ]
  planner_knowledge.values(_generation(tmp_path, headers), "0" * 40)
  assert sorted(shown) == [(n, n in (0, 5)) for n in range(6)]


def test_records_of_another_cartridge_teach_nothing(tmp_path):
  with pytest.raises(ValueError, match="no episode of ROM 111111111111"):
    planner_knowledge.learn(_generation(tmp_path), "1" * 40)
