r"""Writes a dream as a folder that a browser opens from disk, offline.

    python -m experiments.export_web --world_model=DIR --out=FOLDER
    python -m experiments.export_web --policy=DIR --out=FOLDER

The folder holds a page, plain scripts that dream as the model does, its weights
as float16, and states of a real game to begin with: the cartridge's
demonstrator plays from power-on, and the model sees it. Open its index.html;
no server is needed, nothing is asked of any other place.
"""

import pathlib

from experiments.runs import cli
from experiments.runs import inputs

_WORLD_MODEL = cli.string("world_model", None, "Run directory of train_rssm.")
_POLICY = cli.string(
  "policy", None, "Run directory of a policy or a clone: its world model."
)
_OUT = cli.string("out", None, "The folder to write; none may be there.")
_ROM = cli.define_rom()
_OTHER_ROM = cli.define_other_rom()
_STEPS = cli.integer(
  "steps", 400, "Steps of the play that starts are taken from, 8 to 5000."
)
_STARTS = cli.integer("starts", 12, "States to begin with at most, 1 to 24.")
_SEED = cli.integer("seed", 0, "Of the demonstrator's taste.")
_BOUNDS = {
  "steps": (_STEPS, 8, 5000),
  "starts": (_STARTS, 1, 24),
  "seed": (_SEED, 0, (1 << 32) - 1),
}


def main() -> None:
  """Looks at everything that was given, plays, sees and writes."""
  directory = _POLICY.value or _WORLD_MODEL.value
  if not directory or (_POLICY.value and _WORLD_MODEL.value):
    raise ValueError("expected one of --world_model and --policy")
  for name, (flag, low, high) in _BOUNDS.items():
    if not low <= (flag.value or 0) <= high:
      raise ValueError(f"--{name}={flag.value}: expected {low} to {high}")
  out = pathlib.Path(cli.required("out"))
  inputs.check_kind(directory, agent=bool(_POLICY.value))
  from data_tools import cartridge
  from data_tools.game import roms
  from experiments.dreaming import game as game_lib

  rom = roms.resolve(_ROM.value)
  if not game_lib.demonstrates(rom):
    raise ValueError(
      f"--rom: no demonstrator plays {rom.describe()}, expected a practice "
      "cartridge"
    )
  # Before jax is there, from which no process may fork.
  game = game_lib.Game(rom)
  try:
    from experiments.web import folder
    from experiments.web import packing
    from experiments.web import starts as starts_lib

    cfg = inputs.load_config(directory).world_model
    packing.check(cfg)
    folder.check(out)
    note = inputs.check_rom(directory, rom, _OTHER_ROM.value)
    if note:
      print(f"Note: {note}", flush=True)
    rows, led = starts_lib.play(game, _STEPS.value or 0, _SEED.value or 0)
  finally:
    game.close()
  world = cartridge.world(rom.sha1)
  assert world is not None  # a demonstrator plays it
  chosen = starts_lib.choose(
    rows, rom.map_names, world.species_name, _STARTS.value or 0
  )
  params = packing.rounded(
    inputs.load_agent(directory).world_params
    if _POLICY.value
    else inputs.load_world_model(directory)
  )
  states = starts_lib.see(cfg, params, rows, led)
  mark = inputs.fingerprint(directory)
  sizes = folder.write(
    out,
    cfg,
    params,
    starts_lib.take(cfg, states, chosen),
    folder.Names(
      model=f"{mark['config']}@{mark['step']}",
      maps=dict(rom.map_names),
      species={
        number: world.species_name(number)
        for number in range(cfg.token_sizes.get("enemy_species", 0))
      },
    ),
  )
  print(f"{len(chosen)} starts: {', '.join(name for name, _ in chosen)}")
  print(f"wrote {sum(sizes.values()) / 1e6:.1f} MB: open {out / 'index.html'}")


if __name__ == "__main__":
  cli.run_main(main)
