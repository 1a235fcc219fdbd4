"""hf://user/name stands for a model's folder, and takes nothing else of it."""

import dataclasses
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments.dreaming import models
from experiments.playing import learned_players
from experiments.runs import adoptions
from experiments.runs import exporting
from experiments.runs import hub as hub_lib
from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.runs import shipped
from pokedreamer_jax.interop import model_folders
from pokedreamer_jax.interop import tensor_files
from tests import conftest
from tests.experiments.dreaming import made
from tests.experiments.sharing import hub_double

REPO = "user/small"
ADDRESS = f"hf://{REPO}"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  """Exported models by stage."""
  root = tmp_path_factory.mktemp("models")
  for stage in ("world_model", "policy"):
    (root / "runs" / stage).mkdir(parents=True)
    run = made.run_of(root / "runs" / stage, stage)
    exporting.write(str(run), root / stage, stage, "float16")
  return root


@pytest.fixture
def put(hub, folders):
  """Puts a model into the Hub, and files that nobody asks for."""

  def fill(stage="policy", private=False, **others):
    files = {p.name: p.read_bytes() for p in (folders / stage).iterdir()}
    files |= {"weights.pkl": b"\x80\x04.", "checkpoints/5/params/x": b"x"}
    return hub.put(
      REPO,
      {k: v for k, v in (files | others).items() if v is not None},
      private=private,
      large=[hub_lib.ARRAYS] if others.get(hub_lib.ARRAYS, b"x") else (),
    )

  return fill


def _leaves(tree):
  return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def _same(one, other):
  pairs = zip(_leaves(one), _leaves(other), strict=True)
  assert all(np.array_equal(a, b) for a, b in pairs)


def test_a_policy_is_loaded_as_its_folder_is(hub, put, folders):
  put()
  folder = str(folders / "policy")
  assert inputs.fingerprint(ADDRESS) == inputs.fingerprint(folder)
  assert run_directory.read_stage(ADDRESS) == "policy"
  assert inputs.choose_step(ADDRESS, "5") == 5
  found, whole = inputs.load_agent(ADDRESS), inputs.load_agent(folder)
  assert found.config == whole.config
  _same(dataclasses.astuple(found)[1:], dataclasses.astuple(whole)[1:])
  models.check(None, ADDRESS)
  _same(models.load(None, ADDRESS).params, models.load(None, folder).params)
  # Those files and no others, and each but once.
  asked = [a.path for a in hub.asked if "/resolve/" in a.path]
  assert {path.rpartition("/")[2] for path in asked} <= hub_lib.FILES.keys()
  got = [a for a in hub.asked if a.method == "GET" and "/cdn/" in a.path]
  assert len(got) == 1


def test_a_world_model_and_players_of_a_collection(hub, put, folders):
  put("world_model")
  folder = str(folders / "world_model")
  _same(inputs.load_world_model(ADDRESS), inputs.load_world_model(folder))
  hub_lib.fetch.cache_clear()
  put("policy")
  mix, players, notes = learned_players.resolve(
    f"policy={ADDRESS}:eps=0.1=0.5,random=0.5", made.rom()
  )
  mark = inputs.fingerprint(str(folders / "policy"))
  assert mix == f"policy:{mark['config']}@5:eps=0.1=0.5,random=0.5"
  assert len(players) == 1 and not notes


def test_a_private_model_needs_the_token_and_shows_it_to_the_hub_alone(
  hub, put, monkeypatch
):
  put(private=True)
  with pytest.raises(ValueError, match=r"not to be seen; HF_TOKEN is not set"):
    shipped.find(ADDRESS)
  monkeypatch.setenv("HF_TOKEN", hub_double.TOKEN)
  assert model_folders.is_one(shipped.find(ADDRESS))
  other_host = [a for a in hub.asked if "/cdn/" in a.path]
  assert other_host and all(a.token is None for a in other_host)
  assert all(a.host.startswith("localhost") for a in other_host)
  monkeypatch.setenv("HF_TOKEN", "hf_another")
  hub_lib.fetch.cache_clear()
  with pytest.raises(ValueError, match=r"does not know the token$"):
    shipped.find(ADDRESS)


def test_a_revision_is_taken_at_its_word(hub, put):
  repo = put()
  folder = shipped.find(f"{ADDRESS}@{repo.sha}")
  assert folder.name == repo.sha and model_folders.is_one(folder)
  # One slash is what a path keeps of two.
  assert shipped.find(pathlib.Path(f"{ADDRESS}@{repo.sha}")) == folder
  with pytest.raises(ValueError, match="it has no such revision"):
    shipped.find(f"{ADDRESS}@older")


def test_offline_the_cache_is_taken_and_said(hub, put, capsys, monkeypatch):
  put()
  folder = shipped.find(ADDRESS)
  assert not capsys.readouterr().err
  hub.stop()
  hub_lib.fetch.cache_clear()
  assert shipped.find(ADDRESS) == folder
  told = capsys.readouterr().err
  assert told.startswith(f"Note: {ADDRESS}: the Hub cannot be reached")
  assert "taken from the cache" in told and len(told.splitlines()) == 1
  with pytest.raises(ValueError, match=r"reached .*not in the cache"):
    shipped.find("hf://user/never")
  from huggingface_hub import constants

  monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
  with pytest.raises(ValueError, match=r"HF_HUB_OFFLINE says, and it is not"):
    shipped.find("hf://user/never")


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("hf://user", "expected hf://user/name"),
    ("hf://user/name/more", "expected hf://user/name"),
    ("hf://user/..", "expected hf://user/name"),
    ("hf:///name", "expected hf://user/name"),
    ("hf://user/nobody", "no such repository, or it is private"),
  ],
)
def test_what_is_no_model_is_a_line(hub, put, text, message):
  put()
  with pytest.raises(ValueError, match=message) as caught:
    inputs.check_kind(text, agent=True)
  assert str(caught.value).startswith(text)
  assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
  ("others", "message"),
  [
    ({"model.safetensors": None}, r"no model.safetensors in it"),
    ({"config.json": b'{"stage": "policy"}'}, r"no 'exported', expected"),
    ({"config.json": b"[" * 100_000}, r"damaged JSON"),
    ({"config.json": b" " * (5 << 20)}, r"config.json has 5,242,880 bytes"),
  ],
)
def test_what_a_repository_lacks_or_has_too_much_of(put, others, message):
  put(**others)
  with pytest.raises(ValueError, match=message):
    shipped.find(ADDRESS)


def test_damaged_arrays_are_found_by_their_digest(put, folders):
  data = bytearray((folders / "policy" / hub_lib.ARRAYS).read_bytes())
  data[-1] ^= 1
  put(**{hub_lib.ARRAYS: bytes(data)})
  with pytest.raises(ValueError, match=r"damaged \(.* not those that config"):
    inputs.load_agent(ADDRESS)


def test_nothing_is_taken_beyond_what_was_announced(hub, put, tmp_path):
  put()
  hub.endless = True
  with pytest.raises(ValueError, match=r"goes on after the [\d,]+ bytes"):
    shipped.find(ADDRESS)
  size = sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file())
  assert size < 32 << 20


def test_too_large_a_model_is_not_begun(hub, put, monkeypatch):
  monkeypatch.setitem(hub_lib.FILES, hub_lib.ARRAYS, 100_000)
  put()
  with pytest.raises(ValueError, match=r"bytes, at most 0 MiB are downloaded"):
    shipped.find(ADDRESS)
  assert not hub.count("GET", "resolve") and not hub.count("GET", "cdn")


def test_without_the_library_a_line_says_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, "huggingface_hub", None)
  hub_lib.fetch.cache_clear()
  with pytest.raises(ValueError, match=r"pip install -r requirements-hub\.txt"):
    inputs.load_agent(ADDRESS)


def test_names_and_limits_are_those_of_the_readers():
  assert hub_lib.CONFIG == model_folders.CONFIG
  assert hub_lib.ARRAYS == model_folders.ARRAYS
  assert hub_lib.FILES[hub_lib.ARRAYS] == tensor_files.MOST_BYTES
  assert set(exporting.FILES) == set(hub_lib.FILES)
  assert adoptions.FILE in hub_lib.FILES


def test_a_command_says_one_line(hub, tmp_path):
  done = subprocess.run(
    [
      *(sys.executable, "-m", "experiments.evaluate", "--what=play"),
      *(f"--player=policy={ADDRESS}", "--workdir=w"),
    ],
    cwd=tmp_path,
    env=os.environ
    | {"PYTHONPATH": os.pathsep.join([str(conftest.ROOT), *sys.path])},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2, done.stderr
  assert len(done.stderr.strip().splitlines()) == 1
  assert f"Error: {ADDRESS}: there is no such repository" in done.stderr
