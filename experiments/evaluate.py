r"""Measures a world model's dreams, or policies playing in the emulator.

    python -m experiments.evaluate --what=world_model --world_model=DIR \
      --data_dir=DIR --workdir=DIR
    python -m experiments.evaluate --what=play --player=random \
      --player=clone=DIR --player=policy=DIR --workdir=DIR
    python -m experiments.evaluate --what=goals --player=policy=DIR \
      --data_dir=DIR --workdir=DIR
    python -m experiments.evaluate --what=dreams --player=clone=DIR \
      --player=policy=DIR --data_dir=DIR --workdir=DIR
    python -m experiments.evaluate --what=agent --player=policy=DIR \
      --data_dir=DIR --workdir=DIR [--planner_url=URL]
    python -m experiments.evaluate --what=long_dream --player=policy=DIR \
      --data_dir=DIR --workdir=DIR
    python -m experiments.evaluate --what=blind --world_model=DIR \
      --data_dir=DIR --workdir=DIR    (or --player=policy=DIR: its world model)
    python -m experiments.evaluate --what=tokens --preset=vale \
      --data_dir=DIR --workdir=DIR    (or --world_model=DIR: its tokens)

Writes `result.json` and the tables as `table.txt`; for a world model also the
pictures `dreams.png`, `modes.png` (strips by what the game is doing) and
`drift.png`, and of a model with an atlas `atlas.png` (what it believes beside
what is true) and `atlas_errors.png` (where in it dreams are wrong). All numbers
stand beside their reference lines. Of a world model
`--set=evaluate.detail=quick` leaves out the calm windows, the long carried
states and what serves play. Maps that its training left out are looked at in
both. Of play there are `visits.png` (where players stood, on the maps of a
practice cartridge) and the best and the worst episode of learned players as
`best_NAME.mp4` and `worst_NAME.mp4`; `--set=evaluate.videos=off` leaves these
out, `policy` films the player of that name alone.
Of a world model held-out episodes are those of the generation that it
began with; `--all_data` takes those of all that lies there, so that models of
parts of the same data (`train.max_files`) are measured on the same episodes.
"""

from experiments.evaluating import agents
from experiments.evaluating import asked as asked_lib
from experiments.evaluating import blind
from experiments.evaluating import entered
from experiments.evaluating import play
from experiments.evaluating import recorded_tokens
from experiments.evaluating import world_models
from experiments.runs import cli
from pokedreamer_jax.config import world_model as world_model_config

_MEASURES = {
  "world_model": world_models.evaluate,
  "play": play.evaluate,
  "goals": entered.evaluate_goals,
  "dreams": entered.evaluate_dreams,
  "agent": agents.evaluate,
  "long_dream": entered.evaluate_long_dream,
  "blind": blind.evaluate,
  "tokens": recorded_tokens.evaluate,
}
WHAT = tuple(_MEASURES)

cli.define_run_flags()
_WHAT = cli.choice("what", None, WHAT, "What to measure.")
_DATA_DIR = cli.string("data_dir", None, "Recorded experience (all but play).")
_WORLD_MODEL = cli.string("world_model", None, "Run directory of train_rssm.")
_RAM = cli.choice(
  "ram",
  None,
  world_model_config.RAM_MODES,
  "Tokens of observed frames: given, inferred from the frames, or inferred "
  "with the place believed (world_model; default: as trained).",
)
_ALL_DATA = cli.boolean(
  "all_data",
  False,
  "Takes the held-out episodes of all that --data_dir holds now (world_model); "
  "refused where the model was trained on one of them.",
)
_PLAYER = cli.repeated(
  "player",
  "A scripted policy such as random or demonstrator, or NAME=DIR with the run "
  "directory of a clone or a policy (play; dreams; goals, where it is one that "
  "reads them; repeatable).",
)
_CHECKPOINT_STEP = cli.define_checkpoint_step("what is measured")
_ROM = cli.define_rom()
_OTHER_ROM = cli.define_other_rom()
_SAVE_STATE = cli.string("save_state", None, "Start (play, agent).")
_URL = cli.string(
  "planner_url", "", "Also asks a language model there (agent); see run_agent."
)
_MODEL = cli.string("planner_model", "", "Its name (agent).")
_KNOWLEDGE = cli.string(
  "knowledge", "", "What planners know, instead of --data_dir (agent)."
)


def main() -> None:
  """Flags to parts."""
  config = cli.make_config()
  measure = _MEASURES[cli.required("what")]
  measure(config, _asked())


def _asked() -> asked_lib.Asked:
  """The flags, as the parts take them."""
  return asked_lib.Asked(
    data_dir=_DATA_DIR.value,
    world_model=_WORLD_MODEL.value,
    ram=_RAM.value,
    all_data=_ALL_DATA.value,
    players=tuple(_PLAYER.value or ()),
    checkpoint_step=_CHECKPOINT_STEP.value,
    rom=_ROM.value,
    other_rom=_OTHER_ROM.value,
    save_state=_SAVE_STATE.value,
    planner_url=_URL.value or "",
    planner_model=_MODEL.value or "",
    knowledge=_KNOWLEDGE.value or "",
  )


if __name__ == "__main__":
  cli.run_main(main)
