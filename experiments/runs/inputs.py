"""What a stage reads of the stages before it: generations, models, agents.

Wherever a run directory is taken that holds a model, the folder of an exported
one is taken as well (`pokedreamer_jax/interop/model_folders.py`), and the name
of one that comes with the package (`shipped.py`).
"""

import dataclasses
import hashlib
import pathlib
from typing import Any

from experiments.runs import adoptions
from experiments.runs import run_directory
from experiments.runs import shipped
from pokedreamer_jax import whole_files
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.config import world_model as world_model_config

# By which the checkpoints of a world model are compared; lower is better.
VALIDATION_LOSS = "val/loss/total"
REAL_GAIN = "honesty/real_gain"  # of policies, see `training/honesty_looks.py`

# What stages record in config.json beside the configuration.
_RECORDED = frozenset(
  (
    *("generation", "roms", "rom", "inputs", "imported", "exported"),
    "begin_from",
  )
)


@dataclasses.dataclass(frozen=True)
class Agent:
  """An actor and the world model it acts on, read from one run directory."""

  config: config_lib.Config
  world_params: Any  # whole, or `policy.acting_params` of a player
  actor_params: Any


def open_generation(data_dir: str, workdir: pathlib.Path, max_files: int = 0):
  """The generation that this run started with, or a new one of all data.

  Args:
    data_dir: directory of the records.
    workdir: run directory, which may not be there yet.
    max_files: shards that a new one holds at most; 0 is all.

  Raises:
    ValueError: no data, or other data than the run started with.
  """
  from data_tools.records import generations

  if (shipped.find(workdir) / "config.json").exists():
    digest = run_directory.read_config(workdir).get("generation")
    if digest:
      folder = pathlib.Path(data_dir) / generations.GENERATIONS_DIR
      path = folder / f"{digest}.json"
      if not path.exists():
        raise ValueError(
          f"{data_dir}: no generation {digest}, which {workdir} started with; "
          "expected the data of that run, or another --workdir"
        )
      return generations.load(path)
  return generations.freeze(data_dir, max_shards=max_files)


def with_epochs(config: config_lib.Config, generation: Any):
  """`config` with the steps that `train.epochs` comes to, where it is given.

  Raises:
    ValueError: no training episode is as long as a window.
  """
  from data_tools.records import loader

  train = config.train
  if not train.epochs:
    return config
  index = loader.EpisodeIndex(
    generation, "train", cache_bytes=0, leave_out_maps=train.left_out_maps
  )
  source = loader.BatchSource(
    index, train.batch_size, train.seq_len, config.seed
  )
  steps = train.epochs * source.batches_per_epoch
  return dataclasses.replace(
    config, train=dataclasses.replace(train, steps=steps)
  )


def check_left_out(config: config_lib.Config, generation: Any) -> None:
  """Looks for the maps that `train.leave_out_maps` names.

  Raises:
    ValueError: the training episodes never go to one of them.
  """
  maps = config.train.left_out_maps
  if not maps:
    return
  import numpy as np

  from data_tools.records import left_out
  from data_tools.records import loader

  index = loader.EpisodeIndex(generation, "train", cache_bytes=0)
  there: set[int] = set()
  for _, rows in index.episodes(left_out.FIELDS):
    there.update(np.unique(rows["map_id"][rows["game_running"]]).tolist())
  unknown = sorted(set(maps) - there)
  if unknown:
    raise ValueError(
      f"train.leave_out_maps: {config.train.leave_out_maps!r}, no training "
      f"episode goes to {unknown}, expected some of {sorted(there)}"
    )


def with_left_out(
  config: config_lib.Config, directory: str
) -> config_lib.Config:
  """`config` with the maps that the world model in `directory` left out."""
  maps = load_config(directory).train.leave_out_maps
  train = dataclasses.replace(config.train, leave_out_maps=maps)
  return dataclasses.replace(config, train=train)


def describe(generation: Any) -> dict[str, Any]:
  """What a run directory records of its data: digest and ROMs (SHA-1)."""
  sha1s = {entry.header.rom_sha1 for _, entry in generation.episodes()}
  return {"generation": generation.digest, "roms": sorted(sha1s)}


def check_kind(directory: str, agent: bool) -> None:
  """Refuses a run directory of the other kind, before anything is compiled.

  Args:
    directory: of a world model, or of what acts on one.
    agent: whether a clone or a policy is expected.

  Raises:
    ValueError: it is of another stage, or no run directory.
  """
  expected = ("clone", "policy") if agent else ("world_model",)
  stage = run_directory.read_stage(directory)
  if stage not in expected:
    raise ValueError(
      f"{directory}: a run of {stage}, expected one of {' or '.join(expected)}"
    )


def check_clone(clone: str, world_model: str, step: int | None = None) -> None:
  """Compares the world model with the one that a clone was trained on.

  Args:
    clone: run directory of the clone.
    world_model: run directory of the world model.
    step: its checkpoint; None is the latest.

  Raises:
    ValueError: it is another one, or the same trained further; or `clone` is
      the directory of something else.
  """
  check_kind(clone, agent=True)
  recorded = run_directory.read_config(clone).get("inputs", {})
  trained_on = recorded.get("world_model")
  asked = fingerprint(world_model, step)
  if trained_on and trained_on != asked:
    raise ValueError(
      f"{clone}: cloned on world model {_named(trained_on)}, and "
      f"{world_model} is {_named(asked)}; expected the very one, so clone again"
    )


def check_data(world_model: str, generation: Any) -> None:
  """Compares the cartridges of a recording with those of a world model.

  Raises:
    ValueError: the world model has never seen one of them.
  """
  trained = run_directory.read_config(world_model).get("roms", [])
  others = sorted(set(describe(generation)["roms"]) - set(trained))
  if trained and others:
    raise ValueError(
      f"{generation.data_dir}: recorded on the ROM with SHA-1 "
      f"{' and '.join(others)}, and {world_model} was trained on "
      f"{' and '.join(trained)}; expected data of the same game"
    )


def check_fields(
  config: world_model_config.WorldModelConfig, generation: Any
) -> None:
  """Refuses tokens and heads of fields that were not recorded.

  Args:
    config: of the world model.
    generation: what it reads.

  Raises:
    ValueError: a field is missing from some episodes; read as zeros, it would
      teach what is not so.
  """
  from pokedreamer_jax.world_model import ram_heads
  from pokedreamer_jax.world_model import tokens

  lacking = generation.lacking
  read = [
    *(("tokens", name, tokens.fields) for name in config.token_sizes),
    *(("ram_heads", name, ram_heads.fields) for name in config.ram_head_sizes),
  ]
  for part, name, fields in read if lacking else ():
    missing = [field for field in fields(name) if field in lacking]
    if missing:
      version = max(lacking[field] for field in missing)
      raise ValueError(
        f"world_model.{part}: {name!r}, episodes recorded before schema "
        f"{version} hold no field {' and '.join(missing)!r}, expected {part} "
        "without it, or data collected anew"
      )


def check_goals(config: config_lib.Config) -> None:
  """Raises ValueError where dreams do not tell whether goals are reached."""
  if not config.actor_critic.reads_goal:
    return
  from data_tools.game import goal_labels
  from pokedreamer_jax.behaviour import goals

  kinds = {kind for kind, w in config.goals.kind_weights.items() if w}
  if config.goals.milestone:
    kinds |= set(goal_labels.MILESTONES)
  goals.check(config.world_model, sorted(kinds))


def _named(mark: dict[str, Any]) -> str:
  return f"{mark.get('config')} at update {mark.get('step')}"


def check_rom(directory: str, rom: Any, other_rom: bool = False) -> str:
  """Compares a ROM with those that a checkpoint was trained on.

  Args:
    directory: run directory of a world model, clone or policy.
    rom: a `data_tools.game.roms.Rom`.
    other_rom: whether it may be another one, as `--other_rom` says.

  Returns:
    A remark where the ROM is another one, else "".

  Raises:
    ValueError: it is another one, or the checkpoint reads the game's memory,
      and of this ROM nobody knows where it lies.
  """
  if load_config(directory).world_model.ram == "given":
    if not rom.has_ram_fields:
      raise ValueError(
        f"{directory}: trained with memory variables, which cannot be read in "
        f"{rom.describe()}"
      )
  trained = run_directory.read_config(directory).get("roms", [])
  if not trained or rom.sha1 in trained:
    return ""
  remark = (
    f"{directory} was trained on the ROM with SHA-1 {' and '.join(trained)}, "
    f"this is {rom.describe()}"
  )
  if not other_rom:
    raise ValueError(f"{remark}; --other_rom plays it all the same")
  return remark


def choose_step(directory: str, text: str) -> int | None:
  """The step that `--checkpoint_step` names; None is the latest.

  Args:
    directory: run directory.
    text: a number, "latest", or "best": by the validation of a world model, by
      what a policy gained in the game at its looks.

  Raises:
    ValueError: there is no such step, or `text` is something else.
  """
  steps = _steps(directory)
  if text == "latest":
    return None
  if text == "best":
    from pokedreamer_jax import checkpoints

    policy = run_directory.read_stage(directory) == "policy"
    best = checkpoints.best_step(
      shipped.find(directory),
      REAL_GAIN if policy else VALIDATION_LOSS,
      best_is_high=policy,
    )
    if best is None:
      hint = " (policy.honesty_every 0)" if policy else ""
      raise ValueError(
        f"{directory}: no checkpoint was validated{hint}, expected latest or "
        f"one of {steps}"
      )
    return best
  if not text.isdigit() or int(text) not in steps:
    raise ValueError(
      f"--checkpoint_step={text}: expected latest, best or, of {directory}, "
      f"one of {steps}"
    )
  return int(text)


def _steps(directory: str) -> list[int]:
  exported = _exported(directory)
  if exported:
    return [exported["step"]]
  return whole_files.steps(pathlib.Path(directory) / "checkpoints")[0]


def has_checkpoint(workdir: pathlib.Path) -> bool:
  """Whether a run directory has a checkpoint to go on from."""
  return bool(_steps(str(workdir)))


def _exported(directory: str) -> dict[str, Any]:
  """What config.json says of an exported model; nothing of a run."""
  if not (shipped.find(directory) / "config.json").exists():
    return {}
  return dict(run_directory.read_config(directory).get("exported", {}))


def load_item(
  directory: str, name: str, step: int | None = None, template: Any = None
) -> Any:
  """An item of a run directory's or a model's parameters.

  Arguments and errors as of `checkpoints.load_item`.
  """
  from pokedreamer_jax.interop import model_folders

  folder = shipped.find(directory)
  if model_folders.is_one(folder):  # without waking what reads checkpoints
    return model_folders.load_item(folder, name, step, template)
  from pokedreamer_jax import checkpoints

  return checkpoints.load_item(folder, name, step, template)


def fingerprint(directory: str, step: int | None = None) -> dict[str, Any]:
  """Names the checkpoint a stage starts from, without reading it.

  The same configuration, data and step give the same parameters, wherever the
  directory lies.

  Args:
    directory: run directory.
    step: which checkpoint; None is the latest.

  Raises:
    ValueError: not a run directory, or no checkpoint in it.
  """
  run_directory.read_config(directory)  # complains if it is none
  exported = _exported(directory)
  if exported:
    return dict(exported["mark"])
  path = pathlib.Path(directory)
  steps = _steps(directory)
  if not steps:
    raise ValueError(f"{directory}: no checkpoint yet")
  step = steps[-1] if step is None else step
  digest = hashlib.sha256((path / "config.json").read_bytes())
  for adoption in adoptions.read(path).before(step):
    digest.update(f"{adoption.update} {adoption.source}".encode())
  return {"config": digest.hexdigest()[:16], "step": step}


def load_config(directory: str) -> config_lib.Config:
  """The configuration that a run directory records.

  Raises:
    ValueError: it is not the run directory of a model.
  """
  values = run_directory.read_config(directory)
  if "world_model" not in values:
    raise ValueError(f"{directory}: its config.json has no 'world_model'")
  names = {field.name for field in dataclasses.fields(config_lib.Config)}
  unknown = sorted(values.keys() - names - _RECORDED)
  if unknown:
    raise ValueError(
      f"{directory}: its config.json has unknown {unknown}, valid are "
      f"{sorted(names | _RECORDED)}"
    )
  known = {name: value for name, value in values.items() if name in names}
  return _from_dict(directory, known)


def with_world_model(
  config: config_lib.Config, directory: str, agent: bool = False
) -> config_lib.Config:
  """`config` with the sizes that the world model in `directory` has.

  Args:
    config: the rest.
    directory: run directory of a world model.
    agent: of a clone or a policy instead, which holds its own.

  Raises:
    ValueError: it is the run directory of another kind.
  """
  check_kind(directory, agent=agent)
  return _with_part(config, directory, "world_model")


def with_ram(config: config_lib.Config, ram: str | None) -> config_lib.Config:
  """`config` with the tokens of observed frames given, inferred or believed.

  Args:
    config: with the sizes of a trained world model.
    ram: one of `world_model_config.RAM_MODES`; None leaves it as trained.

  Raises:
    ValueError: the state holds tokens and `ram` is off, or the reverse.
  """
  trained = config.world_model.ram
  if ram is None:
    return config
  if (ram == "off") != (trained == "off"):
    allowed = "off" if trained == "off" else "given, inferred or place"
    raise ValueError(
      f"--ram={ram}: the world model was trained with {trained}, expected "
      f"{allowed}"
    )
  return dataclasses.replace(
    config, world_model=dataclasses.replace(config.world_model, ram=ram)
  )


def load_world_model(directory: str, step: int | None = None) -> Any:
  """Parameters of a run directory's world model; None is the latest."""
  return load_item(directory, "params", step)


def load_actor(directory: str, config: config_lib.Config) -> Any:
  """Parameters of a run directory's latest actor.

  Raises:
    ValueError: its sizes are not those of `config`.
  """
  trained = _with_part(config, directory, "actor_critic").actor_critic
  if trained != config.actor_critic:
    raise ValueError(
      f"{directory}: actor_critic {dataclasses.asdict(trained)}, expected "
      f"{dataclasses.asdict(config.actor_critic)}"
    )
  return load_item(directory, "actor")


@dataclasses.dataclass(frozen=True)
class GoalValues:
  """Values of goals, for `pokedreamer_jax.behaviour.all_goals`."""

  config: config_lib.Config  # of its run
  params: Any
  goals: Any  # [K, SIZE] int32, see `pokedreamer_jax.goal_specs`


def load_goal_values(
  directory: str, world_model: str, step: int | None = None
) -> GoalValues:
  """Values that `train_goal_values` learned on the states of a world model.

  Args:
    directory: its run directory.
    world_model: run directory of the world model.
    step: checkpoint of the world model; None is the latest.

  Raises:
    ValueError: it is of another stage, or was learned on another world model.
  """
  from pokedreamer_jax import checkpoints

  stage = run_directory.read_stage(directory)
  if stage != "goal_values":
    raise ValueError(f"{directory}: a run of {stage}, expected goal_values")
  recorded = run_directory.read_config(directory).get("inputs", {})
  trained_on, asked = (
    recorded.get("world_model"),
    fingerprint(world_model, step),
  )
  if trained_on != asked:
    raise ValueError(
      f"{directory}: values on world model {_named(trained_on or {})}, and "
      f"{world_model} is {_named(asked)}; expected the very one"
    )
  return GoalValues(
    config=load_config(directory),
    params=checkpoints.load_item(directory, "slow"),
    goals=checkpoints.load_item(directory, "goals")["array"],
  )


def load_agent(directory: str, step: int | None = None) -> Agent:
  """The agent of a clone's or a policy's run directory; None is the latest.

  With its whole world model, for dreams; `load_player` reads what acts.

  Raises:
    ValueError: the directory holds no checkpoint of an agent.
  """
  return _load_agent(directory, step, load_config(directory), None)


def load_player(directory: str, step: int | None = None) -> Agent:
  """`load_agent` with the part of the world model alone that acting needs.

  Decoder and heads are not read.

  Raises:
    ValueError: the directory holds no checkpoint of an agent, or one whose
      sizes are not those of its configuration.
  """
  from pokedreamer_jax.behaviour import acting
  from pokedreamer_jax.world_model import model as world_model

  config = load_config(directory)
  cfg = config.world_model
  needed = acting.acting_params(cfg, world_model.shapes(cfg))
  return _load_agent(directory, step, config, needed)


def load_map_memory(directory: str, step: int | None = None) -> Any:
  """Atlas and tile dictionary of a clone's or a policy's world model.

  Nothing else of it is read.

  Returns:
    `(atlas, table)`; None where the world model has no atlas.

  Raises:
    ValueError: the directory holds no checkpoint of an agent, or one whose
      sizes are not those of its configuration.
  """
  from pokedreamer_jax.world_model import model as world_model

  cfg = load_config(directory).world_model
  if not cfg.has_atlas:
    return None
  shapes = world_model.shapes(cfg)
  needed = {name: shapes[name] for name in ("atlas", "tiles")}
  params = load_item(directory, "world_model", step, needed)
  return world_model.map_memory(params), world_model.tile_table(params)


def load_critic(directory: str, step: int | None = None) -> Any:
  """Parameters of a policy's critic; None where a clone has none.

  Args:
    directory: run directory of a policy or a clone.
    step: checkpoint; None is the latest.
  """
  if run_directory.read_stage(directory) != "policy":
    return None
  return load_item(directory, "critic", step)


def _load_agent(directory, step, config, template):
  return Agent(
    config=config,
    world_params=load_item(directory, "world_model", step, template),
    actor_params=load_item(directory, "actor", step),
  )


def _with_part(
  config: config_lib.Config, directory: str, part: str
) -> config_lib.Config:
  """`config` with one part as recorded, whatever became of the others."""
  recorded = run_directory.read_config(directory)
  if part not in recorded:
    raise ValueError(f"{directory}: its config.json has no {part!r}")
  values = config_lib.to_dict(config) | {part: recorded[part]}
  return _from_dict(directory, values)


def _from_dict(directory: str, values: dict[str, Any]) -> config_lib.Config:
  try:
    return config_lib.from_dict(values)
  except ValueError as error:
    raise ValueError(f"{directory}/config.json: {error}") from None
