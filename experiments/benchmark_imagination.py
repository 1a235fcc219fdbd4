"""Measures imagined steps per second over batch sizes.

    python -m experiments.benchmark_imagination [--checkpoint=DIR] [--json=FILE]

One imagined step is one model step of one dream under the policy. Dreams of
`policy.horizon` steps are run as training runs them: actor in the scan, reward
and continue heads after it. Compile time is shown apart; the median and the
spread are over repeats that wait for the device. Without a checkpoint the
model has fresh weights, which changes no shape.
"""

import functools
import json
import pathlib
import time

import numpy as np

from data_tools.system import processors
from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import run_directory

_HEADER = "batch  imagined steps/s  median ms  IQR ms  compile s"

cli.define_config_flags()
_CHECKPOINT = cli.string(
  "checkpoint", "", "Run directory of a world model or agent."
)
_BATCH_SIZES = cli.string(
  "batch_sizes", "16,64,256,1024", "Dreams side by side, comma-separated."
)
_REPEATS = cli.integer("repeats", 10, "Timed calls per batch size.")
_JSON = cli.string("json", "", "Also write the results to this file.")


def main() -> None:
  """Times every batch size and prints the table."""
  import jax

  # A cached program would hide the compile time that this prints.
  jax.config.update("jax_enable_compilation_cache", False)
  sizes = _batch_sizes(_BATCH_SIZES.value)
  repeats = _REPEATS.value
  if repeats < 1:
    raise ValueError(f"--repeats: {repeats}, expected at least 1")
  config, params = _model(jax)
  rows = []
  print(
    f"{jax.devices()[0].device_kind}, jax {jax.__version__}, preset "
    f"{config.preset}, dreams of {config.policy.horizon} steps, {repeats} "
    f"repeats\n{_HEADER}\n{'-' * len(_HEADER)}",
    flush=True,
  )
  for size in sizes:
    row = _measure(jax, config, params, size, repeats)
    rows.append(row)
    print(_line(row), flush=True)
  result = {
    "command": cli.command_line(),
    "preset": config.preset,
    "horizon": config.policy.horizon,
    "deter": config.world_model.deter,
    "stoch": [config.world_model.stoch, config.world_model.classes],
    "tokens": config.world_model.token_dim,
    "dtype": "float32",
    "device": jax.devices()[0].device_kind,
    "cpu_count": processors.available(),
    "jax": jax.__version__,
    "rows": rows,
  }
  if _JSON.value:
    path = pathlib.Path(_JSON.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {path}")


def _model(jax):
  from pokedreamer_jax.frames import tiles
  from pokedreamer_jax.world_model import model as world_model

  if _CHECKPOINT.value:
    directory = _CHECKPOINT.value
    config = inputs.load_config(directory)
    # An agent brings the world model that it acts on.
    if run_directory.read_stage(directory) != "world_model":
      return config, inputs.load_agent(directory).world_params
    return config, inputs.load_world_model(directory)
  config = cli.make_config()
  vocab = config.world_model.tile_vocab
  table = tiles.build([], vocab)
  key = jax.random.key(config.seed)
  return config, world_model.init(config.world_model, key, table)


def _measure(jax, config, params, size: int, repeats: int) -> dict:

  from pokedreamer_jax.behaviour import policy_inputs
  from pokedreamer_jax.behaviour import policy_update
  from pokedreamer_jax.networks import actor_critic
  from pokedreamer_jax.world_model import imagination
  from pokedreamer_jax.world_model import model as world_model
  from pokedreamer_jax.world_model import progress as progress_lib

  cfg, length = config.world_model, config.policy.horizon
  actor_params = actor_critic.init_actor(
    config.actor_critic, jax.random.key(1), policy_inputs.size(config)
  )

  @jax.jit
  def dream(params, actor_params, key):
    policy_fn = policy_update.make_policy_fn(config.actor_critic, actor_params)
    rollout = imagination.imagine(
      cfg,
      params,
      key,
      world_model.initial_state(cfg, (size,)),
      progress_lib.nothing((size,)),
      policy_fn,
      length,
      inputs_fn=functools.partial(policy_inputs.read, config),
    )
    return rollout.action, rollout.reward_terms, rollout.cont

  arguments = (params, actor_params, jax.random.key(0))
  began = time.perf_counter()
  compiled = dream.lower(*arguments).compile()
  compile_s = time.perf_counter() - began
  jax.block_until_ready(compiled(*arguments))
  seconds = []
  for repeat in range(repeats):
    key = jax.random.key(repeat)
    began = time.perf_counter()
    jax.block_until_ready(compiled(params, actor_params, key))
    seconds.append(time.perf_counter() - began)
  steps = size * length
  low, median, high = np.percentile(seconds, [25, 50, 75])
  return {
    "batch": size,
    "imagined_steps": steps,
    "median_ms": 1e3 * float(median),
    "iqr_ms": 1e3 * float(high - low),
    "imagined_steps_per_s": steps / float(median),
    "compile_s": compile_s,
    "repeats": repeats,
  }


def _batch_sizes(text: str) -> list[int]:
  sizes = text.split(",")
  if not all(size.strip().isdigit() and int(size) > 0 for size in sizes):
    raise ValueError(f"--batch_sizes: {text!r}, expected such as 16,64,256")
  return [int(size) for size in sizes]


def _line(row: dict) -> str:
  return (
    f"{row['batch']:>5}  {row['imagined_steps_per_s']:>16,.0f}  "
    f"{row['median_ms']:>9.1f}  {row['iqr_ms']:>6.1f}  {row['compile_s']:>9.1f}"
  )


if __name__ == "__main__":
  cli.run_main(main)
