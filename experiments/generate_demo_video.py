r"""Makes a clip: the emulator on the left, the dream of it on the right.

    python -m experiments.generate_demo_video --checkpoint=DIR \
      --out_video=demo.mp4

The left half is the real game, played by the checkpoint's policy; for a world
model without a policy, by `--player`. The right half is imagined: the model
sees the first frames, then gets the buttons alone, never a frame again.
"""

import dataclasses
from typing import Any

import numpy as np

from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import json_store
from experiments.runs import progress
from experiments.runs import run_directory
from pokedreamer_jax import specs
from pokedreamer_jax.config import run as config_lib

_CHECKPOINT = cli.string(
  "checkpoint", None, "Run directory of a policy, a clone or a world model."
)
_OUT = cli.string("out_video", "demo.mp4", "Clip to write: .mp4 or .webp.")
_STEPS = cli.integer("steps", 120, "Env steps in the clip.")
_CONTEXT = cli.integer("context", 8, "First frames that the model sees.")
_OTHER_ROM = cli.define_other_rom()
_SAVE_STATE = cli.string("save_state", None, "Start; default: power-on.")
_CHECKPOINT_STEP = cli.define_checkpoint_step("what dreams")
_ROM = cli.define_rom()
_PLAYER = cli.string(
  "player", "sticky_random", "Who plays where the checkpoint has no policy."
)
_SEED = cli.integer("seed", 0, "Of the start, the player and the dream.")
_FPS = cli.integer("fps", 6, "Env steps shown per second; real time is 2.5.")


@dataclasses.dataclass(frozen=True)
class Model:
  """What dreams, and perhaps acts."""

  config: config_lib.Config
  world_params: Any
  agent: inputs.Agent | None


def main() -> None:
  """Plays, dreams, writes the clip and its numbers beside it."""
  directory = cli.required("checkpoint")
  steps, context = _STEPS.value, _CONTEXT.value
  if not 0 < context < steps:
    raise ValueError(f"--context={context}: expected 1 to steps - 1 ({steps})")
  from data_tools.game import emulator
  from data_tools.game import roms
  from experiments.reports import video

  video.check_path(_OUT.value)
  rom = roms.resolve(_ROM.value)
  save_state = emulator.read_save_state(_SAVE_STATE.value, rom)
  note = inputs.check_rom(directory, rom, _OTHER_ROM.value)
  if note:
    print(f"Note: {note}", flush=True)
  step = inputs.choose_step(directory, _CHECKPOINT_STEP.value)
  model = load_model(directory, step)
  with progress.Progress("demo", 3, "parts") as bar:
    bar.phase("playing the emulator", about_s=15)
    rows = play(model, rom, steps, save_state, _PLAYER.value, _SEED.value)
    bar.update(1)
    bar.phase("dreaming", about_s=15)
    imagined = dream(model, rows, context, _SEED.value)
    bar.update(2)
    bar.phase("writing the clip", about_s=5)
    path = video.write(
      _OUT.value,
      video.side_by_side(
        [rows["frame"], imagined],
        ["emulator", "imagined"],
        captions(rows, imagined, context),
      ),
      _FPS.value,
    )
    bar.update(3)
  result: dict[str, Any] = {
    **scores(rows, imagined, context),
    **{"clip": path.name, "steps": len(imagined), "context": context},
  }
  json_store.write_json(path.with_suffix(".json"), result)
  print(
    f"{path}: {len(imagined)} steps, {context} seen; dreamed frames exact "
    f"{result['exact']:.2f}, pixels right {result['pixels']:.3f}"
  )


def load_model(directory: str, step: int | None = None) -> Model:
  """Reads a world model, or an agent with the model it acts on.

  Args:
    directory: run directory.
    step: which checkpoint; None is the latest.

  Raises:
    ValueError: the directory holds neither.
  """
  if run_directory.read_stage(directory) != "world_model":
    agent = inputs.load_agent(directory, step)
    return Model(agent.config, agent.world_params, agent)
  params = inputs.load_world_model(directory, step)
  return Model(inputs.load_config(directory), params, None)


def play(
  model: Model,
  rom: Any,
  steps: int,
  save_state: bytes | None,
  player: str,
  seed: int,
) -> dict[str, np.ndarray]:
  """Step fields `[T, ...]` of one real episode of at most `steps` rows."""
  from data_tools.game import emulator as emulator_lib
  from data_tools.players import policies
  from data_tools.records import episodes

  with emulator_lib.Emulator(rom) as emulator:
    policy: policies.Policy
    if model.agent is None:
      policy = policies.make_policy(player, rom)
    else:
      policy = _AgentPolicy(model.agent, emulator, seed)
    emulator.reset(seed, save_state, model.config.collect.jitter_frames)
    chunks = list(episodes.play(emulator, policy, seed, steps))
  return {
    name: np.concatenate([chunk[name] for chunk in chunks])
    for name in chunks[0]
  }


def dream(
  model: Model, rows: dict[str, np.ndarray], context: int, seed: int
) -> np.ndarray:
  """Frames `[T, 144, 40]`: reconstructed in the context, then imagined.

  Args:
    model: the world model and its configuration.
    rows: step fields `[T, ...]` of one episode.
    context: rows that the model sees.
    seed: of the dream's chance.
  """
  import jax
  import jax.numpy as jnp

  from pokedreamer_jax.world_model import alignment
  from pokedreamer_jax.world_model import imagination
  from pokedreamer_jax.world_model import model as world_model

  cfg = model.config.world_model

  def run(params, key, batch):
    seen_key, dream_key = jax.random.split(key)
    known = {name: value[None, :context] for name, value in batch.items()}
    known["first_action_tm1"] = jnp.full(1, specs.PASS, jnp.uint8)
    seen = world_model.observe(
      cfg, params, seen_key, known, infer=cfg.ram == "inferred"
    ).state
    start = jax.tree.map(lambda leaf: leaf[:, -1], seen)
    action = alignment.dream_actions(cfg, batch["action"][context - 1 :])
    action = action[:, None]
    ahead = imagination.replay_actions(cfg, params, dream_key, start, action)
    states = jax.tree.map(
      lambda first, rest: jnp.concatenate([first[0], rest[:, 0]]), seen, ahead
    )  # [T, ...]
    # One step at a time: the logits of all would fill a laptop's memory.
    return jax.lax.map(lambda s: world_model.decode(cfg, params, s), states)

  batch = {name: jnp.asarray(value) for name, value in rows.items()}
  key = jax.random.key(seed)
  return np.asarray(jax.jit(run)(model.world_params, key, batch))


def captions(
  rows: dict[str, np.ndarray], imagined: np.ndarray, context: int
) -> list[str]:
  """One line per step: what the model knows, and whether it is right."""
  lines = []
  for t in range(len(imagined)):
    button = specs.ACTIONS[int(rows["action"][t])]
    if t < context:
      lines.append(f"the model sees the game ({t + 1} of {context})")
      continue
    right = np.array_equal(rows["frame"][t], imagined[t])
    verdict = "every pixel right" if right else "differs"
    step = t - context + 1
    lines.append(f"dream step {step}, button {button}: {verdict}")
  return lines


def scores(
  rows: dict[str, np.ndarray], imagined: np.ndarray, context: int
) -> dict[str, float]:
  """Shares of exact frames and right pixels over the dreamed steps."""
  from pokedreamer_jax.evaluation import scores as scores_lib

  truth, frames = rows["frame"][context:], imagined[context:]
  return {
    "exact": float(scores_lib.exact(frames, truth).mean()),
    "pixels": float(scores_lib.pixel_accuracy(frames, truth).mean()),
  }


class _AgentPolicy:
  """A learned policy in the shape of a scripted one.

  It looks at its emulator's screen and memory by itself, for one episode.
  """

  chosen_by = specs.BEHAVIOURS.index("policy")

  def __init__(self, agent: inputs.Agent, emulator: Any, seed: int):
    import jax

    from data_tools.records import episodes
    from pokedreamer_jax.behaviour import acting

    self._act = acting.make_act(
      agent.config, agent.world_params, agent.actor_params
    )
    self._ram_of = acting.ram_of
    self._state = acting.init_state(agent.config.world_model, 1)
    self._key = jax.random.key(seed)
    self._step = 0
    self._emulator = emulator
    self._reader = episodes.RowReader(emulator.rom)

  def reset(self, rng: np.random.Generator) -> None:
    del rng  # chance comes from the agent's own key

  def act(self, memory: Any, row: Any = None) -> int:
    del memory, row
    import jax

    read = self._reader.read(
      self._emulator.frame()[None], self._emulator.ram()[None]
    )
    self._state, action = self._act(
      self._state,
      read["frame"],
      self._ram_of(read),
      read["is_first"],
      jax.random.fold_in(self._key, self._step),
    )
    self._step += 1
    return int(np.asarray(action)[0])


if __name__ == "__main__":
  cli.run_main(main)
