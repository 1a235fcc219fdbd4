"""A learner whose data grows: what it adopts when, killed at any moment.

With an atlas, which grows with the data, and without.
"""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time

import chex
import jax
import numpy as np
import pytest

from data_tools.records import loader
from experiments.evaluating import world_models
from experiments.runs import adoptions
from experiments.runs import inputs
from experiments.runs import metrics
from pokedreamer_jax import checkpoints
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import model as world_model
from tests.data_tools import fakes as data_fakes

_STEPS = 24
_EVERY = 6
# Trains, with a collector that adds data before the looks it is told, and is
# killed by SIGKILL at a named place.
_PROGRAM = """
import json, os, signal, sys
from data_tools.records import generations
from experiments import train_rssm
from experiments.runs import adoptions, cli
from experiments.training import atlas_data
from pokedreamer_jax import checkpoints
from tests.data_tools import fakes

make = fakes.walks if os.environ["WALKS"] else fakes.steps
additions = json.loads(os.environ["ADDITIONS"])
place, _, number = os.environ["KILL"].partition(":")

def die(*unused):
  os.kill(os.getpid(), signal.SIGKILL)

def before_look(data_dir, *rest, freeze=generations.freeze, **more):
  added = additions.pop(0) if additions else None
  if added:
    prefix, collection, episodes = added
    fakes.write(data_dir, prefix, episodes, 2, collection, make)
  return freeze(data_dir, *rest, **more)

def write(directory, record, write=adoptions.write):
  here = record.looked_until == int(number or -1)
  if here and place == "before_record":
    die()
  write(directory, record)
  if here and place == "after_record":
    die()

def save(self, step, *rest, save=checkpoints.Store.save):
  save(self, step, *rest)
  if place == "saving" and step == int(number):
    die()

def grown(self, atlas, paths, grown=atlas_data.Survey.grown):
  found = grown(self, atlas, paths)
  if place == "growing" and len(paths) == int(number):
    die()
  return found

generations.freeze = before_look
adoptions.write = write
checkpoints.Store.save = save
atlas_data.Survey.grown = grown
cli.run_main(train_rssm.main)
"""
_ATLAS = (
  *("--set=world_model.atlas=counted", "--set=world_model.atlas_cells=8192"),
  "--set=world_model.tile_vocab=24",
)
_FIRST = [(n, 60 + n, "random") for n in range(4)]
# Sorts before the first data and would turn the held-out episodes round.
_B = ("b", "b", [(n, 50 + n, "random") for n in range(3)])
_C = ("c", "a", [(n, 70 + n, "sticky_random") for n in range(3)])


def _start(data, workdir, additions=(), kill="", more=(), atlas=False):
  arguments = [
    *("--preset=debug", f"--data_dir={data}", f"--workdir={workdir}"),
    *(f"--set=train.steps={_STEPS}", "--set=train.log_every=1"),
    *("--set=train.save_every=5", "--set=train.eval_every=999"),
    *(f"--set=train.refresh_every={_EVERY}", "--set=world_model.tile_vocab=9"),
    *("--set=evaluate.windows=2", "--set=evaluate.horizon=5"),
    *(_ATLAS if atlas else ()),
    *more,
  ]
  return subprocess.Popen(
    [sys.executable, "-c", _PROGRAM, *arguments],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env=os.environ
    | {
      "PYTHONPATH": os.pathsep.join(sys.path),
      "ADDITIONS": json.dumps(additions),
      "KILL": kill,
      "WALKS": "yes" if atlas else "",
    },
  )


def _finish(*arguments, code=0, **more):
  process = _start(*arguments, **more)
  stdout, stderr = process.communicate()
  assert process.returncode == code, stderr
  return stdout, stderr


def _losses(workdir):
  return [
    metrics.repeated(row)
    for row in metrics.read(workdir / "metrics.jsonl")
    if "loss/total" in row
  ]


def _adopted(workdir):
  """Digests differ with the names of shards, what is in them does not."""
  record = adoptions.read(workdir)
  return record.looked_until, [(a.update, a.source) for a in record.adopted]


# Every run of the program takes some ten seconds of a core.
@pytest.mark.parametrize(
  ("atlas", "every_moment"),
  [
    (True, False),
    pytest.param(True, True, marks=pytest.mark.slow),
    pytest.param(False, True, marks=pytest.mark.slow),
  ],
)
def test_killed_around_adoptions_every_later_loss_is_the_same(
  tmp_path, atlas, every_moment
):
  make = data_fakes.walks if atlas else data_fakes.steps
  data, other = tmp_path / "data", tmp_path / "other"
  for directory in (data, other):
    data_fakes.write(directory, "a", _FIRST, make=make)
  whole, parts = tmp_path / "whole", tmp_path / "parts"
  start = functools.partial(_start, atlas=atlas)
  finish = functools.partial(_finish, atlas=atlas)
  killed = {"code": -signal.SIGKILL}
  # Freezing at the start, then looks at 6 (more), 12 (the same), 18 (more).
  said, _ = finish(data, whole, additions=[None, _B, None, _C])
  expected = _losses(whole)
  assert [row["step"] for row in expected] == list(range(1, _STEPS + 1))
  assert "update 6: adopted generation" in said
  assert "3 more episodes and +153 steps" in said
  assert said.count("cells of") == (3 if atlas else 0)
  assert len(re.findall(r", [1-9][\d,]* of them new", said)) == (
    2 if atlas else 0
  )
  looked_until, adopted = _adopted(whole)
  assert [update for update, _ in adopted] == [6, 18]
  assert looked_until == 18

  # No record yet: the look is done anew, and finds what is there.
  finish(other, parts, additions=[None, _B], kill="before_record:6", **killed)
  assert adoptions.read(parts) == adoptions.Record()
  # Looks at 6 (what is there by now), 12 (the same), 18 (more).
  additions, save_every, expected_saves = [None, None, _C], 7, (7, 14)
  if every_moment:
    # A record, and no batch of it read.
    finish(other, parts, kill="after_record:6", **killed)
    assert _adopted(parts) == (6, adopted[:1])
    if atlas:  # grown, and no update made with it
      finish(other, parts, kill="growing:2", **killed)
    # While a checkpoint is being written, in the segment of that adoption.
    more = ("--set=train.save_every=3",)
    finish(other, parts, kill="saving:9", more=more, **killed)
    assert checkpoints.latest_step(parts / "checkpoints") == 6
    additions, save_every, expected_saves = [None, _C], 999, (6,)
    assert list((parts / "checkpoints").glob("9.*"))  # half of it
  # In the segment after the last adoption; the last checkpoint is of before
  # all of them, and what was found at 12 must not be what is there by now.
  process = start(
    *(other, parts, additions), more=(f"--set=train.save_every={save_every}",)
  )
  while process.poll() is None and len(_losses(parts)) < 20:
    time.sleep(0.002)
  process.kill()
  process.communicate()
  assert process.returncode == -signal.SIGKILL, "it had ended already"
  saved = checkpoints.latest_step(parts / "checkpoints")
  assert saved in expected_saves
  assert _adopted(parts) == (18, adopted)

  said, _ = finish(other, parts)
  assert f"continuing at update {saved}" in said
  told = sum(update >= saved for update, _ in adopted)
  assert said.count("adopted generation") == told
  # Counted again where it grows, and nowhere else.
  assert said.count("cells of") == (told if atlas else 0)
  assert _losses(parts) == expected
  assert _adopted(parts) == (18, adopted)
  # An evaluation knows what was learned on the way; held out stays held out.
  first = inputs.open_generation(str(other), parts)
  seen = world_models.training_episodes(str(parts), first, None)
  began = loader.EpisodeIndex(first, "train")
  held_out = loader.EpisodeIndex(first, "val")
  ids = lambda index: {header.episode_id for header in index.headers}
  assert ids(seen) > ids(began)
  assert not ids(seen) & ids(held_out)
  params = checkpoints.load_item(whole, "params")
  chex.assert_trees_all_equal(params, checkpoints.load_item(parts, "params"))
  if atlas:
    _check_all_is_counted(params, seen)


def _check_all_is_counted(params, seen):
  """Where one could walk, the atlas of a run knows the place."""
  held = jax.tree.map(np.asarray, world_model.map_memory(params))
  for _, rows in seen.episodes(["map_id", "y", "x", "has_control"]):
    place = (rows[name].astype(int) for name in ("map_id", "y", "x"))
    map_id, y, x = (value[rows["has_control"]] for value in place)
    beside = atlas_lib.cells(held, map_id, y, x + 1)
    assert atlas_lib.known_cells(held, 24)[beside].all()
