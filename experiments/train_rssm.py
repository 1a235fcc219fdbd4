"""Trains the world model on recorded experience.

    python -m experiments.train_rssm --data_dir=DIR --workdir=DIR

The same command on the same directory resumes at the last checkpoint and
gives the losses that an undisturbed run gives (CPU, same versions). Writes
`metrics.jsonl`, checkpoints of the parameters and the optimiser (the latest,
and the best by its loss on held-out episodes), and `dreams.png`: held-out
frames, their reconstructions and dreams, also in TensorBoard (`tb/`).

The flags of the published script are there too, each for one field of --set.

With --set=train.refresh_every=N the run adopts what a collector has added to
the directory, every N updates (`collect_data --follow`): `generations.json`
records when it adopted what, so that a run which resumes does it again alike.
Dreams are measured on the held-out episodes of the first generation.

Several processes train together where each is told so (`distributed.py`), with
--set=train.mesh=data=-1 or another mesh of all their devices.
"""

from collections.abc import Mapping
import pathlib
from typing import Any

from experiments.machine import memory
from experiments.runs import cli
from experiments.runs import distributed
from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.runs import shared_run
from experiments.training import stage_loop
from pokedreamer_jax.config import run as config_lib

cli.define_run_flags()
cli.define_trackers()
distributed.define_flags()
_DATA_DIR = cli.string("data_dir", None, "Directory of recorded experience.")
_BEGIN_FROM = cli.string(
  "begin_from",
  None,
  "Run directory of a world model whose parameters this one begins with; "
  "world_model.tokens may name further tokens after that one's.",
)
_OUT_DIR = cli.string("out_dir", None, "The same as --workdir.")
_RESUME_STEP = cli.define_resume_step()
_PROFILE_STEPS = cli.integer(
  "profile_steps", 0, "Updates to trace with the profiler, into DIR/profile."
)

# Flags of the published script and the fields they set; --set goes before.
_PUBLISHED = {
  "epochs": ("train.epochs", "passes, each followed by a validation"),
  "batch_size": ("train.batch_size", "windows"),
  "seq_len": ("train.seq_len", "rows of a window"),
  "det_dim": ("world_model.deter", "GRU units"),
  "class_num": ("world_model.classes", "classes of a variable"),
  "category_num": ("world_model.stoch", "categorical variables"),
  "kl_alpha": ("world_model.kl_alpha", "balance of the KL in family v2"),
  "lr": ("train.learning_rate", "learning rate"),
  "max_files": ("train.max_files", "shards, the first ones by name"),
}
_FLAGS = {
  name: cli.string(name, None, f"Sets {field}: {text}.")
  for name, (field, text) in _PUBLISHED.items()
}

# What may differ when a run is continued.
FREE = (
  *("train.steps", "train.log_every", "train.eval_every", "train.save_every"),
  *("train.epochs", "train.keep_every_epoch", "train.refresh_every"),
  *("train.cache_mib", "train.mesh"),
  *("collect", "latents", "clone", "policy", "actor_critic"),
  *("all_goals", "evaluate", "agent", "goals", "preset"),
)


def main() -> None:
  """Flags to parts."""
  with distributed.join() as group:
    _train(group)


def _train(group: distributed.Group) -> None:
  tracked = cli.trackers()
  config, generation, run = group.in_turn("run", lambda: _open(group))
  run.resume_step = _RESUME_STEP.value

  def train() -> dict[str, float]:
    from experiments.training import world_model_loop

    trainer = world_model_loop.Trainer(
      *(config, generation, run, _PROFILE_STEPS.value, group),
      _BEGIN_FROM.value,
    )
    return {"steps": config.train.steps, **trainer.train()}

  stage_loop.carry_out(run, "world model", generation, train, _summary, tracked)


def _open(group: distributed.Group):
  """Configuration, generation and run; process 0 leaves them on the disk."""
  config = cli.make_config(_published())
  kl_alpha, family = _FLAGS["kl_alpha"].value, config.world_model.family
  if kl_alpha and family != "v2":
    raise ValueError(
      f"--kl_alpha={kl_alpha}: family {family} does not take it, expected "
      "--preset=v2, or --set with world_model.dyn_scale and rep_scale"
    )
  workdir = pathlib.Path(_OUT_DIR.value or cli.workdir())
  generation = inputs.open_generation(
    cli.required("data_dir"), workdir, config.train.max_files
  )
  inputs.check_fields(config.world_model, generation)
  if not (workdir / "config.json").exists():
    inputs.check_left_out(config, generation)
  config = inputs.with_epochs(config, generation)
  if not (workdir / "result.json").exists():
    memory.check_training(config)
  described = {**config_lib.to_dict(config), **inputs.describe(generation)}
  if _BEGIN_FROM.value:
    described["begin_from"] = _beginning(config, generation, workdir)
  run = shared_run.open_run(group, workdir, "world_model", described, FREE)
  return config, generation, run


def _beginning(
  config: config_lib.Config, generation: Any, workdir: pathlib.Path
) -> dict[str, Any]:
  """The mark of the model that a run begins with, once it is seen to fit.

  A run that has a checkpoint of its own goes on from that and from what it
  recorded: its beginning may be trained further or gone by then.
  """
  from pokedreamer_jax.world_model import widening

  if (workdir / "config.json").exists() and inputs.has_checkpoint(workdir):
    recorded = run_directory.read_config(str(workdir)).get("begin_from")
    if recorded:
      print("--begin_from: not read, the run goes on from its own checkpoint")
      return recorded
  directory = _BEGIN_FROM.value
  inputs.check_kind(directory, agent=False)
  inputs.check_data(directory, generation)
  trained = inputs.load_config(directory).world_model
  widening.check(trained, config.world_model)
  return inputs.fingerprint(directory)


def _published() -> list[str]:
  """The overrides that flags of the published script stand for."""
  given = {name: flag.value for name, flag in _FLAGS.items() if flag.value}
  overrides = [f"{_PUBLISHED[name][0]}={text}" for name, text in given.items()]
  return [*overrides, "train.eval_every=0"] if "epochs" in given else overrides


def _summary(values: Mapping[str, float]) -> str:
  shown = (inputs.VALIDATION_LOSS, "val/exact", "val/pixels", "val/tiles")
  return ", ".join(
    f"{name} {value:.3f}"
    for name, value in values.items()
    if name.startswith(shown)
  )


if __name__ == "__main__":
  cli.define_defaults(_published)
  cli.run_main(main)
