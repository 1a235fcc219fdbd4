r"""Turns checkpoints of the published v2 system into run directories of ours.

    python -m experiments.import_torch --world_model_file=FILE.pt \
      --workdir=DIR
    python -m experiments.import_torch --world_model_file=FILE.pt \
      --policy_file=FILE.pt --workdir=DIR

The first is a world model for `evaluate --what=world_model`, the second an
agent for `evaluate --what=play`. Files are read without PyTorch, and nothing
in them is run. Such a model takes the action of a row together with its frame
(`action_alignment=published`), so an agent chooses before it sees the frame;
as published, its actor was trained on its entropy alone.
"""

import hashlib
import os
from typing import Any

from data_tools.system import files
from experiments.runs import cli
from experiments.runs import run_directory
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib

cli.string("workdir", None, "Directory of the imported run.")
_WORLD_MODEL = cli.string("world_model_file", None, "The world model's .pt.")
_POLICY = cli.string("policy_file", None, "The policy's .pt; makes an agent.")
_STOCH = cli.integer("category_num", 32, "Categorical variables.")
_CLASSES = cli.integer("class_num", 32, "Classes of each.")

_TOLD = ("epoch", "val_loss")  # numbers that are taken over
_MOST_EPOCH = 1_000_000_000


def main() -> None:
  """Reads and converts the files, then writes the run."""
  from data_tools.foreign import torch_files
  from pokedreamer_jax.interop import published

  path = cli.required("world_model_file")
  sources = {"world_model_file": _sha256(path)}
  arrays, numbers = torch_files.read_checkpoint(
    path, published.WORLD_MODEL_PARTS
  )
  said = _named(path, _said, numbers)
  sizes = _named(
    path,
    published.world_model_sizes,
    arrays,
    _STOCH.value,
    _CLASSES.value,
  )
  params = _named(path, published.world_model_params, sizes, arrays)
  config = presets.make("v2")
  values = config_lib.to_dict(config)
  values["world_model"] = config_lib.to_dict(sizes)
  stage, items = "world_model", {"params": params}
  if _POLICY.value:
    sources["policy_file"] = _sha256(_POLICY.value)
    arrays, _ = torch_files.read_checkpoint(
      _POLICY.value, published.POLICY_PARTS
    )
    actor_critic = _named(_POLICY.value, published.actor_critic_sizes, arrays)
    values["actor_critic"] = config_lib.to_dict(actor_critic)
    agent = _named(
      _POLICY.value,
      published.actor_critic_params,
      actor_critic,
      sizes.feat_dim,
      arrays,
    )
    stage, items = "policy", {"world_model": params, **agent}
  run = run_directory.open_run(
    cli.workdir(), stage, {**values, "imported": sources}, graceful=False
  )
  with run:
    if run.finished:
      run.log(f"import: done already, {run.result}")
      return
    store = run.checkpoints()
    step = int(said.get("epoch", 0))
    store.save(step, items, {"step": step})
    store.wait()
    count = _parameters(params)
    run.finish({"parameters": count, **said})
    run.log(
      f"import: {count} parameters of a world model"
      + (" and a policy" if _POLICY.value else "")
      + "".join(f", {name} {value:g}" for name, value in said.items())
    )


def _said(numbers: dict[str, int | float]) -> dict[str, int | float]:
  """The epoch and the loss, as far as the file tells them.

  Raises:
    ValueError: no such epoch can have been.
  """
  epoch = numbers.get("epoch", 0)
  if not isinstance(epoch, int) or not 0 <= epoch <= _MOST_EPOCH:
    raise ValueError(
      f"epoch: {epoch!r}, expected an integer of 0 to {_MOST_EPOCH}"
    )
  return {name: numbers[name] for name in _TOLD if name in numbers}


def _named(path: str, convert: Any, *arguments: Any) -> Any:
  """`convert(*arguments)`, whose complaints name the file."""
  try:
    return convert(*arguments)
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from None


def _parameters(params: dict[str, Any]) -> int:
  import jax

  from pokedreamer_jax.world_model import model_v2 as world_model_v2

  weights = {k: v for k, v in params.items() if k != world_model_v2.BATCH_STATS}
  return sum(leaf.size for leaf in jax.tree.leaves(weights))


def _sha256(path: str | os.PathLike) -> str:
  try:
    with files.open_regular(path) as file:
      return hashlib.file_digest(file, "sha256").hexdigest()
  except OSError as error:
    raise ValueError(f"{path}: {error.strerror}") from None


if __name__ == "__main__":
  cli.run_main(main)
