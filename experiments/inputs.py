"""What a stage reads of the stages before it: generations, models, agents."""

import dataclasses
import hashlib
import pathlib
from typing import Any

from experiments import run_directory
from pokedreamer_jax import config as config_lib


@dataclasses.dataclass(frozen=True)
class Agent:
  """Everything that acting needs, read from one run directory."""

  config: config_lib.Config
  world_params: Any
  actor_params: Any


def open_generation(data_dir: str, workdir: pathlib.Path):
  """The generation that this run started with, or a new one of all data.

  Raises:
    ValueError: no data.
  """
  from data_tools import generations

  if (workdir / "config.json").exists():
    digest = run_directory.read_config(workdir).get("generation")
    if digest:
      folder = pathlib.Path(data_dir) / generations.GENERATIONS_DIR
      return generations.load(folder / f"{digest}.json")
  return generations.freeze(data_dir)


def describe(generation: Any) -> dict[str, Any]:
  """What a run directory records of its data: digest and ROMs (SHA-1)."""
  sha1s = {entry.header.rom_sha1 for _, entry in generation.episodes()}
  return {"generation": generation.digest, "roms": sorted(sha1s)}


def check_rom(directory: str, rom: Any) -> str:
  """Compares a ROM with those that a checkpoint was trained on.

  Args:
    directory: run directory of a world model, clone or policy.
    rom: a `data_tools.roms.Rom`.

  Returns:
    A remark where the ROM is another one, else "".

  Raises:
    ValueError: the checkpoint reads the game's memory, and of this ROM nobody
      knows where it lies.
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
  return (
    f"{directory} was trained on the ROM with SHA-1 {' and '.join(trained)}, "
    f"this is {rom.describe()}"
  )


def fingerprint(directory: str) -> dict[str, Any]:
  """Names the checkpoint a stage starts from, without reading it.

  The same configuration, data and step give the same parameters, wherever the
  directory lies.

  Raises:
    ValueError: not a run directory, or no checkpoint in it.
  """
  run_directory.read_config(directory)  # complains if it is none
  path = pathlib.Path(directory)
  steps = [p.name for p in (path / "checkpoints").glob("*") if p.name.isdigit()]
  if not steps:
    raise ValueError(f"{directory}: no checkpoint yet")
  digest = hashlib.sha256((path / "config.json").read_bytes()).hexdigest()
  return {"config": digest[:16], "step": max(map(int, steps))}


def load_config(directory: str) -> config_lib.Config:
  """The configuration that a run directory records."""
  values = run_directory.read_config(directory)
  names = {field.name for field in dataclasses.fields(config_lib.Config)}
  known = {name: value for name, value in values.items() if name in names}
  return config_lib.from_dict(known)


def with_world_model(
  config: config_lib.Config, directory: str
) -> config_lib.Config:
  """`config` with the sizes that the world model in `directory` has."""
  return _with_part(config, directory, "world_model")


def with_ram(config: config_lib.Config, ram: str | None) -> config_lib.Config:
  """`config` with the tokens of observed frames given or inferred.

  Args:
    config: with the sizes of a trained world model.
    ram: one of `config.RAM_MODES`; None leaves it as trained.

  Raises:
    ValueError: the state holds tokens and `ram` is off, or the reverse.
  """
  trained = config.world_model.ram
  if ram is None:
    return config
  if (ram == "off") != (trained == "off"):
    allowed = "off" if trained == "off" else "given or inferred"
    raise ValueError(
      f"--ram={ram}: the world model was trained with {trained}, expected "
      f"{allowed}"
    )
  return dataclasses.replace(
    config, world_model=dataclasses.replace(config.world_model, ram=ram)
  )


def load_world_model(directory: str) -> Any:
  """Parameters of the latest world model of a run directory."""
  from pokedreamer_jax import checkpoints

  return checkpoints.load_item(directory, "params")


def load_actor(directory: str, config: config_lib.Config) -> Any:
  """Parameters of a run directory's latest actor.

  Raises:
    ValueError: its sizes are not those of `config`.
  """
  from pokedreamer_jax import checkpoints

  trained = _with_part(config, directory, "actor_critic").actor_critic
  if trained != config.actor_critic:
    raise ValueError(
      f"{directory}: actor_critic {dataclasses.asdict(trained)}, expected "
      f"{dataclasses.asdict(config.actor_critic)}"
    )
  return checkpoints.load_item(directory, "actor")


def load_agent(directory: str, step: int | None = None) -> Agent:
  """The agent of a clone's or a policy's run directory; None is the latest.

  Raises:
    ValueError: the directory holds no checkpoint of an agent.
  """
  from pokedreamer_jax import checkpoints

  return Agent(
    config=load_config(directory),
    world_params=checkpoints.load_item(directory, "world_model", step),
    actor_params=checkpoints.load_item(directory, "actor", step),
  )


def _with_part(
  config: config_lib.Config, directory: str, part: str
) -> config_lib.Config:
  """`config` with one part as recorded, whatever became of the others."""
  recorded = run_directory.read_config(directory)
  if part not in recorded:
    raise ValueError(f"{directory}: its config.json has no {part!r}")
  values = config_lib.to_dict(config) | {part: recorded[part]}
  return config_lib.from_dict(values)
