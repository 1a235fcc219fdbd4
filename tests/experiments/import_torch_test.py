"""Published checkpoints as run directories, through the entry point."""

import argparse
import json
import os
import pickle
import subprocess
import sys

from absl import flags
from absl.testing import flagsaver
import chex
import jax
import numpy as np
import pytest

from experiments import import_torch
from experiments.runs import inputs
from experiments.runs import run_directory
from pokedreamer_jax.interop import published
from tests import conftest
from tests.data_tools import fakes as data_fakes
from tests.data_tools.foreign import torch_fakes
from tests.pokedreamer_jax import published_reference as reference

_SIZES = (
  f"--category_num={reference.STOCH}",
  f"--class_num={reference.CLASSES}",
)


def _run(module, *arguments):
  return subprocess.run(
    [sys.executable, "-m", f"experiments.{module}", *map(str, arguments)],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
    env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
  )


def _others():
  """What lies beside the networks: an optimiser's state, an epoch, a loss."""
  moment = torch_fakes.tensor(
    torch_fakes.storage("999", "float32", 9), 0, (9,), (1,)
  )
  state = pickle.BININT1 + b"\0" + moment  # numbered, and never read
  optimiser = {
    "state": pickle.EMPTY_DICT + pickle.MARK + state + pickle.SETITEMS,
    "param_groups": pickle.EMPTY_LIST + pickle.NONE + pickle.APPEND,
  }
  loss = pickle.BINFLOAT + np.array(0.125, ">f8").tobytes()
  return {
    "optimizer_state_dict": torch_fakes.pickled(optimiser),
    "epoch": torch_fakes.number(7),
    "val_loss": loss,
    # Numbers that nobody asks for, under names that are not theirs to take.
    "parameters": torch_fakes.number(3),
    "\x1b[2J": torch_fakes.number(4),
  }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
  directory = tmp_path_factory.mktemp("published")
  others = _others()
  world_model = torch_fakes.save_checkpoint(
    reference.world_model_arrays(), **others
  )
  (directory / "world_model.pt").write_bytes(world_model)
  history = (
    pickle.EMPTY_LIST + pickle.MARK + others["val_loss"] + pickle.APPENDS
  )
  policy = torch_fakes.save_checkpoint(
    reference.policy_arrays(), history=history
  )
  (directory / "policy.pt").write_bytes(policy)
  return directory


@pytest.fixture(scope="module")
def imported(files, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("imported") / "world_model"
  source = f"--world_model_file={files / 'world_model.pt'}"
  done = _run("import_torch", source, *_SIZES, f"--workdir={workdir}")
  assert done.returncode == 0, done.stderr
  return workdir


def test_a_world_model_is_a_run_directory(imported):
  assert run_directory.read_stage(imported) == "world_model"
  cfg = inputs.load_config(imported).world_model
  assert (cfg.family, cfg.action_alignment) == ("v2", "published")
  expected = published.world_model_params(cfg, reference.world_model_arrays())
  chex.assert_trees_all_equal(inputs.load_world_model(imported), expected)
  assert inputs.fingerprint(imported)["step"] == 7
  result = run_directory.read_result(imported)
  assert (result["epoch"], result["val_loss"]) == (7, 0.125)
  assert set(result) == {"parameters", "epoch", "val_loss"}
  weights = {k: v for k, v in expected.items() if k != "batch_stats"}
  count = sum(leaf.size for leaf in jax.tree.leaves(weights))
  assert result["parameters"] == count > 3
  config = json.loads((imported / "config.json").read_text())
  assert len(config["imported"]["world_model_file"]) == 64


def test_what_was_changed_and_what_was_left_is_told(tmp_path):
  arrays = {}
  for name, array in reference.world_model_arrays().items():
    part, _, rest = name.partition(".")
    arrays[f"{part}.module.{rest}"] = array
  told = {
    "epoch": pickle.dumps(np.int64(9), 2)[2:-1],
    "val_loss": pickle.dumps(np.float32("nan"), 2)[2:-1],
    "config": pickle.dumps(argparse.Namespace(lr=1), 2)[2:-1],
  }
  data = torch_fakes.save_checkpoint(arrays, **told)
  (tmp_path / "x.pt").write_bytes(data)
  source = f"--world_model_file={tmp_path / 'x.pt'}"
  done = _run("import_torch", source, *_SIZES, f"--workdir={tmp_path}/w")
  assert done.returncode == 0, done.stderr
  for line in (
    "module. taken off the tensors' names in encoder_state_dict, decoder",
    "not read: 'val_loss' (a call of 'numpy",
    "'config' (a call of 'argparse.Namespace')",
  ):
    assert line in done.stdout + done.stderr
  assert inputs.fingerprint(tmp_path / "w")["step"] == 9
  chex.assert_trees_all_equal(
    inputs.load_world_model(tmp_path / "w"),
    published.world_model_params(
      inputs.load_config(tmp_path / "w").world_model,
      reference.world_model_arrays(),
    ),
  )


def test_a_pipe_is_refused_without_waiting(tmp_path):
  os.mkfifo(tmp_path / "x.pt")
  flags.FLAGS.mark_as_parsed()
  for path in (str(tmp_path / "x.pt"), "/dev/zero"):
    with flagsaver.flagsaver(world_model_file=path, workdir=str(tmp_path)):
      with pytest.raises(ValueError, match=f"{path}: no regular file"):
        import_torch.main()


def test_a_policy_makes_an_agent(files, tmp_path):
  arguments = [
    *(f"--world_model_file={files / 'world_model.pt'}", *_SIZES),
    *(f"--policy_file={files / 'policy.pt'}", f"--workdir={tmp_path}"),
  ]
  done = _run("import_torch", *arguments)
  assert done.returncode == 0, done.stderr
  agent = inputs.load_agent(tmp_path)
  cfg = agent.config
  assert (cfg.actor_critic.family, cfg.actor_critic.units) == ("v2", 7)
  chex.assert_trees_all_equal(
    agent.actor_params,
    published.actor_critic_params(
      cfg.actor_critic, cfg.world_model.feat_dim, reference.policy_arrays()
    )["actor"],
  )
  chex.assert_trees_all_equal(
    agent.world_params,
    published.world_model_params(
      cfg.world_model, reference.world_model_arrays()
    ),
  )


class _Hostile:
  def __init__(self, path):
    self._path = path

  def __reduce__(self):
    return os.mkdir, (str(self._path),)


def test_a_hostile_file_is_refused_unexecuted_in_one_line(tmp_path):
  mark = tmp_path / "executed"
  evil = {"epoch": _Hostile(mark), "encoder_state_dict": {}}
  hostile = tmp_path / "evil.pt"
  hostile.write_bytes(torch_fakes.torch_file(pickle.dumps(evil, 2), {}))
  done = _run(
    "import_torch", f"--world_model_file={hostile}", f"--workdir={tmp_path}/w"
  )
  assert done.returncode == 2
  (line,) = [x for x in done.stderr.splitlines() if x.startswith("Error")]
  assert "evil.pt: refused: the pickle names" in line
  assert not mark.exists()
  pickle.loads(pickle.dumps(evil, 2))  # the same bytes do run elsewhere
  assert mark.exists()


@pytest.mark.parametrize(
  "name, message",
  [
    ("policy.pt", "policy.pt: no state dictionary 'encoder_state_dict'"),
    ("absent.pt", "absent.pt: No such file"),
    # Its sizes are not given, and 32 categories of 32 classes expected.
    ("world_model.pt", r"world_model.pt: .*weight: .* expected float32\["),
  ],
)
def test_other_files_and_sizes_are_refused(files, tmp_path, name, message):
  flags.FLAGS.mark_as_parsed()
  given = {"world_model_file": str(files / name), "workdir": str(tmp_path)}
  with flagsaver.flagsaver(**given):
    with pytest.raises(ValueError, match=message) as error:
      import_torch.main()
  assert "\n" not in str(error.value)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  "changes, epoch, message",
  [
    ({}, 1 << 62, "epoch: 4611686018427387904, expected an integer of 0"),
    ({}, -1, "epoch: -1, expected"),
    # Sizes that no checkpoint has, told by arrays without elements.
    ({"rssm_cell_state_dict.gru_cell.weight_hh": (0, 1 << 40)}, 7, "axis 1"),
    ({"encoder_state_dict.conv1.weight": (0,)}, 7, "axis 0 has size 0"),
  ],
)
def test_numbers_and_sizes_out_of_all_bounds_are_refused(
  tmp_path, changes, epoch, message
):
  empty = {name: np.zeros(shape, np.float32) for name, shape in changes.items()}
  data = torch_fakes.save_checkpoint(
    reference.world_model_arrays() | empty, epoch=torch_fakes.number(epoch)
  )
  (tmp_path / "evil.pt").write_bytes(data)
  flags.FLAGS.mark_as_parsed()
  given = {
    "world_model_file": str(tmp_path / "evil.pt"),
    "workdir": str(tmp_path / "run"),
  }
  with flagsaver.flagsaver(**given):
    with pytest.raises(ValueError, match=f"evil.pt: .*{message}") as error:
      import_torch.main()
  assert str(error.value).isprintable()
  assert not (tmp_path / "run").exists()


def test_policies_are_not_trained_on_it(imported, tmp_path):
  for module, message in (
    ("train_policy", "one scalar reward"),
    ("clone_behaviour", "the very action to be imitated"),
  ):
    done = _run(
      module,
      *(
        f"--world_model={imported}",
        "--data_dir=/none",
        f"--workdir={tmp_path}",
      ),
      *(["--clone="] if module == "train_policy" else []),
    )
    assert done.returncode == 2 and message in done.stderr, done.stderr


@pytest.mark.slow
def test_its_dreams_are_evaluated(imported, tmp_path):
  episodes = [(n, 60 + n, "random") for n in range(4)]
  data_fakes.write(tmp_path / "data", "made-up", episodes)
  done = _run(
    "evaluate",
    *("--what=world_model", f"--world_model={imported}"),
    *(f"--data_dir={tmp_path / 'data'}", f"--workdir={tmp_path / 'out'}"),
    *("--set=evaluate.windows=4", "--set=evaluate.context=2"),
    "--set=evaluate.horizon=5",
  )
  assert done.returncode == 0, done.stderr
  lines = run_directory.read_result(tmp_path / "out")["lines"]
  assert 0 < lines["floor (posterior)"]["5"]["pixels"] < 1
