"""Mistakes, verb by verb: one line on stderr, exit code 2, no traceback."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
from unittest import mock

from absl import flags
from absl.testing import flagsaver
import pytest

from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import shards as shards_lib
from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import run_directory
from pokedreamer_jax import whole_files
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib
from tests import conftest
from tests.data_tools import fakes as data_fakes
from tests.pokedreamer_jax import fakes

_TRAIN = ("--data_dir={data}", "--workdir={new}", "--preset=debug")
_POLICY = (*_TRAIN, "--world_model={model}")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
  """Directories that a mistake may name, by the names used in the table."""
  root = tmp_path_factory.mktemp("mistakes")
  config = config_lib.to_dict(presets.make("debug"))
  data = root / "data"
  (data / generations.SHARDS_DIR).mkdir(parents=True)
  with shards_lib.ShardWriter(data / generations.SHARDS_DIR, "fake") as writer:
    writer.begin(data_fakes.header(0, "demonstrator"))
    steps = fakes.steps(60, 0)
    steps["game_running"][:] = True
    for chunk in data_fakes.chunks(steps):
      writer.write(chunk)
    writer.end({})
    writer.commit()
  described = inputs.describe(generations.freeze(data))

  def made(name, stage, checkpoint=5, **values):
    with run_directory.open_run(
      root / name, stage, config | values, graceful=False
    ):
      folder = root / name / "checkpoints" / str(checkpoint)
      folder.mkdir(parents=True)
      whole_files.write_list(folder, {"step": checkpoint})
    return str(root / name)

  found = {"root": root, "data": data}
  found["model"] = made("model", "world_model", **described)
  found["foreign_model"] = made("foreign", "world_model", roms=["f" * 40])
  mark = inputs.fingerprint(found["model"])
  found["clone"] = made("clone", "clone", inputs={"world_model": mark})
  other = {"config": "0" * 16, "step": 7}
  found["other_clone"] = made("other", "clone", inputs={"world_model": other})
  found["moved"] = made("moved", "world_model", generation="a" * 16)
  (root / "lost" / "checkpoints" / "5").mkdir(parents=True)
  found["lost"] = root / "lost"
  found["rom"] = roms.resolve(None).path
  return found


# Verb, arguments, words that the line holds; environment.
MISTAKES = [
  ("train_rssm", _TRAIN[1:], ["--data_dir is required"]),
  ("train_rssm", (*_TRAIN, "--set=train.batch_size=100000000"), ["GiB"]),
  ("train_rssm", (*_TRAIN, "--set=world_model.deter=10000000"), ["GiB"]),
  (
    "train_rssm",
    (*_TRAIN, "--set=train.leave_out_maps=2,77"),
    ["train.leave_out_maps: '2,77'", "[77]", "[0, 1, 2, 3]"],
  ),
  (
    "train_rssm",
    (*_TRAIN, "--set=train.leave_out_maps=x"),
    ["'x'", "0 to 255"],
  ),
  (
    "train_rssm",
    ("--data_dir={data}", "--workdir={moved}", "--preset=debug"),
    ["{data}", "a" * 16, "{moved}", "expected the data of that run"],
  ),
  (
    "train_rssm",
    ("--data_dir={data}", "--workdir={lost}", "--preset=debug"),
    ["checkpoints", "no config.json"],
  ),
  (
    "train_rssm",
    (*_TRAIN, "--workdir={root}/model", "--set=train.steps=4"),
    ["train.steps: 4", "5", "expected at least"],
  ),
  (
    "train_rssm",
    (*_TRAIN, "--begin_from={clone}"),
    ["{clone}: a run of clone, expected", "world_model"],
  ),
  (
    "train_rssm",
    (*_TRAIN, "--begin_from={foreign_model}"),
    ["f" * 40, "{data}", "{foreign_model}"],
  ),
  (
    "train_rssm",
    (*_TRAIN, "--begin_from={model}", "--set=world_model.tokens=battle:4"),
    ["world_model.tokens: 'battle:4'", "or these and others after them"],
  ),
  (
    "train_rssm",
    (*_TRAIN, "--begin_from={model}", "--set=world_model.deter=99"),
    ["world_model.deter: 99", "the model has that it begins with"],
  ),
  (
    "clone_behaviour",
    (*_TRAIN, "--world_model={clone}"),
    ["{clone}: a run of clone, expected", "world_model"],
  ),
  (
    "clone_behaviour",
    (*_TRAIN, "--world_model={foreign_model}"),
    ["f" * 40, "{data}", "{foreign_model}"],
  ),
  (
    "train_rssm",
    (*_TRAIN, "--set=train.batch_size=0"),
    ["Error: train.batch_size: 0, expected at least 1"],
  ),
  (
    "train_rssm",
    (*_TRAIN, "--set=policy.reward=progres"),
    ["Error: policy.reward: 'progres' (did you mean 'progress'?)"],
  ),
  (
    "train_rssm",
    (*_TRAIN[1:], "--data_dir={root}/nowhere"),
    ["{root}/nowhere (there is no such directory): collect some"],
  ),
  (
    "train_rssm",
    (*_TRAIN, "--seed=1.5"),
    ["Error: flag --seed=1.5: expected a whole number"],
  ),
  ("train_goal_values", _TRAIN, ["--world_model is required"]),
  ("train_goal_values", _POLICY, ["--rom: goals of", "0" * 40, "{data}"]),
  ("train_policy", _POLICY, ["--clone is required"]),
  (
    "train_policy",
    (*_POLICY, "--clone=", "--set=policy.starts=100000000"),
    ["policy.starts: 100000000 dreams", "GiB"],
  ),
  (
    "train_policy",
    (*_POLICY, "--clone=", "--algorithm=trpo"),
    ["--algorithm=trpo", "ppo|grpo|reinforce|pmpo"],
  ),
  (
    "train_policy",
    (*_POLICY, "--clone=", "--algorithm=grpo", "--set=policy.group_size=3"),
    ["policy.group_size: 3", "a divisor of policy.starts = 16"],
  ),
  (
    "train_policy",
    (*_POLICY, "--clone=", "--algorithm=pmpo", "--set=policy.clip_high=0.3"),
    ["policy.clip_high: 0.3", "'pmpo'", "only ppo and grpo"],
  ),
  (
    "train_policy",
    (*_POLICY, "--clone=", "--algorithm=pmpo", "--set=policy.algorithm=grpo"),
    ["--algorithm=pmpo", "--set=policy.algorithm=grpo", "expected one"],
  ),
  (
    "train_policy",
    (*_POLICY, "--clone={model}"),
    ["{model}: a run of world_model", "clone or policy"],
  ),
  (
    "train_policy",
    (*_POLICY, "--clone={other_clone}"),
    ["{other_clone}", "0" * 16 + " at update 7", "{model}", "at update 5"],
  ),
  (
    "evaluate",
    ("--what=world_model", *_TRAIN, "--world_model={clone}"),
    ["a run of clone"],
  ),
  (
    "evaluate",
    ("--what=play", "--workdir={new}", "--player=a={model}"),
    ["{model}: a run of world_model"],
  ),
  ("evaluate", ("--what=play", "--workdir={new}"), ["--player is required"]),
  ("collect_data", ("--workdir={new}", "--policy="), ["policy ''"]),
  (
    "collect_data",
    ("--workdir={new}", "--policy=policy={model}"),
    ["{model}: a run of world_model"],
  ),
  (
    "generate_demo_video",
    ("--checkpoint={clone}", "--out_video={root}/clip.gif"),
    ["clip.gif", ".mp4 or .webp"],
  ),
  ("compare", ("--run=a={clone}",), ["a run of clone"]),
  ("report", ("--workdir={root}/nowhere",), ["nowhere"]),
  ("import_npz", ("--out_dir={new}",), ["--npz_dir is required"]),
  ("import_torch", ("--workdir={new}",), ["--world_model_file is required"]),
  ("export_npz", (), ["--"]),
  ("make_state", (), ["give one of --script and --policy"]),
  ("record_demos", ("--workdir={new}", "--rom={root}/none.gb"), ["none.gb"]),
  ("benchmark_acting", ("--players=0",), ["--players", "1,8,24"]),
  ("benchmark_acting", ("--decisions=9",), ["--decisions=9", "100"]),
  ("benchmark_agent", ("--decisions=9",), ["--decisions=9", "400"]),
  ("benchmark_agent", ("--slow_s=0",), ["--slow_s=0", "1"]),
  ("run_agent", (), ["--policy is required"]),
  (
    "benchmark_ablation",
    (*_TRAIN[:2], "--seeds=0,0"),
    ["--seeds=0,0", "different numbers"],
  ),
  (
    "benchmark_ablation",
    (*_TRAIN[:2], "--recipes=present,none"),
    ["--recipes=present,none", "block_mix"],
  ),
  ("benchmark_atlas", (*_TRAIN[:1], "--rows=0"), ["--rows=0", "expected 1"]),
  ("benchmark_data", ("--repeats=x",), ["repeats"]),
  ("benchmark_imagination", ("--batch_sizes=x",), ["--batch_sizes"]),
  ("benchmark_training", ("--presets=huge",), ["huge", "tiny"]),
  ("quickstart", ("--workdir={new}", "--rom={root}/none.gb"), ["none.gb"]),
  ("doctor", ("--typo",), ["typo"]),
]


@pytest.mark.parametrize(
  ("verb", "arguments", "words"),
  MISTAKES,
  ids=lambda v: v if isinstance(v, str) else None,
)
def test_a_mistake_gets_one_line(
  verb, arguments, words, places, tmp_path, capsys
):
  names = places | {"new": tmp_path / "new"}
  before = _listed(places["root"])
  whole_files.remark()  # of what other tests have read
  code = _run(verb, [text.format(**names) for text in arguments])
  lines = capsys.readouterr().err.splitlines()
  assert (code, len(lines)) == (2, 1), lines
  for word in words:
    assert word.format(**names) in lines[0]
  assert not (tmp_path / "new" / "config.json").exists()
  assert _listed(places["root"]) == before


@pytest.mark.parametrize(
  ("name", "value", "expected"),
  [
    ("JAX_DEFAULT_PRNG_IMPL", "rbg", "threefry2x32"),
    ("JAX_THREEFRY_PARTITIONABLE", "0", "true"),
    ("JAX_RANDOM_SEED_OFFSET", "3", "0"),
    ("JAX_ENABLE_X64", "1", "false"),
    ("JAX_NUMPY_DTYPE_PROMOTION", "strict", "standard"),
    ("JAX_PLATFORMS", "cuda", "JAX_PLATFORMS=cpu"),
  ],
)
def test_an_environment_that_changes_numbers_or_devices(
  name, value, expected, places, tmp_path
):
  names = places | {"new": tmp_path / "new"}
  arguments = [text.format(**names) for text in _TRAIN]
  command = [sys.executable, "-m", "experiments.train_rssm", *arguments]
  done = subprocess.run(
    command,
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
    env=os.environ | {name: value},
  )
  assert done.returncode == 2, done.stderr
  assert len(done.stderr.splitlines()) == 1, done.stderr
  assert f"{name}={value}" in done.stderr and expected in done.stderr


@pytest.mark.parametrize("verb", ["doctor", "train_rssm"])
def test_a_python_without_packages(verb):
  done = subprocess.run(
    [sys.executable, "-S", "-m", f"experiments.{verb}"],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
    env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
  )
  assert done.returncode == 2, done.stderr
  assert len(done.stderr.splitlines()) == 1, done.stderr
  assert "absl-py" in done.stderr and "pip install" in done.stderr


def _run(verb, arguments):
  """Exit code of an entry point in this process, left as it was."""
  handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
  with (
    mock.patch.dict(os.environ),
    mock.patch.dict(sys.modules),
    _flags_as_they_were(),
    flagsaver.flagsaver(),
  ):
    module = _loaded_alone(f"experiments.{verb}")
    try:
      with mock.patch.object(sys, "argv", [module.__file__, *arguments]):
        cli.run_main(module.main)
    except SystemExit as end:
      return end.code
    finally:
      for number, handler in handlers.items():
        signal.signal(number, handler)
  raise AssertionError("run_main returned")


@contextlib.contextmanager
def _flags_as_they_were():
  """Leaves which flags there are, and whose they are, as it was."""
  known = vars(flags.FLAGS)
  with contextlib.ExitStack() as stack:
    stack.enter_context(mock.patch.dict(known["__flags"]))
    for name in ("__flags_by_module", "__flags_by_module_id"):
      lists = {module: list(own) for module, own in known[name].items()}
      stack.enter_context(mock.patch.dict(known[name], lists))
    yield


def _loaded_alone(name):
  """An entry point loaded anew, its flags its own as in a process of its own.

  Several define the same name, with another default or of another kind.
  """

  def define(definer, flag, *rest):
    if flag in flags.FLAGS:
      delattr(flags.FLAGS, flag)
    return definer(flag, *rest)

  spec = importlib.util.find_spec(name)
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module
  with mock.patch.object(cli, "_define", define):
    spec.loader.exec_module(module)
  return module


def _listed(root):
  """What is there, but for locks."""
  files = (p for p in root.rglob("*") if p.name != ".lock")
  return {str(p): p.read_bytes() for p in files if p.is_file()}
