r"""Makes a clip: emulator, the dream of it, and the emulator with other luck.

    python -m experiments.generate_demo_video --checkpoint=DIR \
      --out_video=demo.mp4

On the left is the real game, played by the checkpoint's policy; for a world
model without a policy, by `--player`. Beside it is what is imagined: the model
sees the first frames, then gets the buttons alone; every `--anew` steps it sees
the game again and dreams from there. On the right is the game itself from the
same moments, with the same buttons and other luck: no dream can be closer to
the left one than that, on average. The strip below is green where a dreamed
frame is right in every pixel.
"""

import dataclasses
from typing import Any

import numpy as np

from experiments.playing import clip_episodes
from experiments.reports import pictures
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
_ANEW = cli.integer(
  "anew", 40, "Env steps after which a dream begins anew; 0: never."
)
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
  if _ANEW.value < 0:
    raise ValueError(f"--anew={_ANEW.value}: expected at least 0")
  anew = _ANEW.value or steps
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
    rows, luck = clip_episodes.play(
      *(model.config, model.agent, rom, steps, save_state),
      *(_PLAYER.value, _SEED.value, range(context - 1, steps, anew)),
    )
    bar.update(1)
    bar.phase("dreaming", about_s=15)
    imagined = dream(model, rows, context, anew, _SEED.value)
    bar.update(2)
    bar.phase("writing the clip", about_s=5)
    path = video.write(
      _OUT.value,
      video.side_by_side(
        [rows["frame"], imagined, luck],
        ["emulator", "imagined", "emulator, other luck"],
        captions(rows, imagined, luck, context, anew),
        colours=colours(rows, imagined, context),
      ),
      _FPS.value,
    )
    bar.update(3)
  result: dict[str, Any] = {
    **scores(rows, imagined, context),
    "other_luck": scores(rows, luck, context),
    **{"clip": path.name, "steps": len(imagined), "context": context},
    "anew": anew,
  }
  json_store.write_json(path.with_suffix(".json"), result)
  print(
    f"{path}: {len(imagined)} steps, {context} seen, dreams anew every {anew}; "
    f"frames exact {result['exact']:.2f}, pixels right {result['pixels']:.3f}; "
    f"the game with other luck {result['other_luck']['exact']:.2f}, "
    f"{result['other_luck']['pixels']:.3f}"
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


def dream(
  model: Model,
  rows: dict[str, np.ndarray],
  context: int,
  anew: int,
  seed: int,
) -> np.ndarray:
  """Frames `[T, 144, 40]`: reconstructed in the context, then imagined.

  Args:
    model: the world model and its configuration.
    rows: step fields `[T, ...]` of one episode.
    context: rows that the model sees.
    anew: steps after which it dreams anew, from all rows up to there.
    seed: of the dreams' chance.
  """
  import jax
  import jax.numpy as jnp

  from pokedreamer_jax.world_model import alignment
  from pokedreamer_jax.world_model import imagination
  from pokedreamer_jax.world_model import model as world_model

  cfg = model.config.world_model

  length = len(rows["action"])
  starts = np.arange(context - 1, length - 1, anew)
  ahead_by = min(anew, length - context)
  # The dream and its step that each row after the context shows.
  which, step = np.divmod(np.arange(length - context), anew)
  padded = np.full(length + ahead_by, specs.PASS, np.uint8)
  padded[:length] = rows["action"]
  taken = padded[starts[:, None] + np.arange(ahead_by + 1)]

  def run(params, key, batch):
    seen_key, dream_key = jax.random.split(key)
    known = {name: value[None] for name, value in batch.items()}
    known["first_action_tm1"] = jnp.full(1, specs.PASS, jnp.uint8)
    seen = world_model.observe(
      cfg, params, seen_key, known, infer=cfg.infers_tokens
    ).state
    seen = jax.tree.map(lambda leaf: leaf[0], seen)  # [T, ...]
    start = jax.tree.map(lambda leaf: leaf[starts], seen)
    action = alignment.dream_actions(cfg, jnp.asarray(taken)).T
    ahead = imagination.replay_actions(cfg, params, dream_key, start, action)
    states = jax.tree.map(
      lambda first, rest: jnp.concatenate([first[:context], rest[step, which]]),
      seen,
      ahead,
    )  # [T, ...]
    # One step at a time: the logits of all would fill a laptop's memory.
    return jax.lax.map(lambda s: world_model.decode(cfg, params, s), states)

  batch = {name: jnp.asarray(value) for name, value in rows.items()}
  key = jax.random.key(seed)
  return np.asarray(jax.jit(run)(model.world_params, key, batch))


def captions(
  rows: dict[str, np.ndarray],
  imagined: np.ndarray,
  luck: np.ndarray,
  context: int,
  anew: int,
) -> list[str]:
  """One line per step: what the model knows, and whether it is right."""
  lines = []
  for t in range(len(imagined)):
    button = specs.ACTIONS[int(rows["action"][t])]
    if t < context:
      lines.append(f"the model sees the game ({t + 1} of {context})")
      continue
    verdict = "every pixel right"
    if not np.array_equal(rows["frame"][t], imagined[t]):
      chance = not np.array_equal(rows["frame"][t], luck[t])
      verdict = "differs" + (", as other luck does" if chance else "")
    step = (t - context) % anew + 1
    lines.append(f"dream step {step}, button {button}: {verdict}")
  return lines


def colours(
  rows: dict[str, np.ndarray], imagined: np.ndarray, context: int
) -> list[tuple[int, int, int]]:
  """Of each step: seen, dreamed right in every pixel, or not."""
  right = (imagined == rows["frame"]).all(axis=(1, 2))
  return [
    pictures.FAINT if t < context else pictures.RIGHT if same else pictures.OFF
    for t, same in enumerate(right)
  ]


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


if __name__ == "__main__":
  cli.run_main(main)
