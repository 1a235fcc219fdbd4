r"""Writes a trained model as a folder to give away.

    python -m experiments.export_model --checkpoint=DIR --out=FOLDER \
      [--dtype=float16] [--name=NAME] [--result=EVALUATED ...]

A world model, a clone or a policy becomes `model.safetensors`, `config.json`
and a model card, `README.md`. Every verb that takes a run directory takes the
folder as well. `--result` names directories of `evaluate`, whose numbers go
into the card and, whole, into `results.json`; they have to be of this very
checkpoint, or of a folder exported from it before with the same `--dtype`.
Nothing is lost but what the dtype rounds away; `float32` loses nothing, `int8`
rounds matrices to 255 steps a column and the rest to float16.
"""

import pathlib

from experiments.runs import cli
from experiments.runs import exporting
from experiments.runs import inputs

_DTYPES = ("float16", "bfloat16", "float32", "int8")

_CHECKPOINT = cli.string(
  "checkpoint", None, "Run directory of a world model, clone or policy."
)
_OUT = cli.string("out", None, "Folder to write; nothing may be there.")
_DTYPE = cli.choice("dtype", "float16", _DTYPES, "What numbers are rounded to.")
_NAME = cli.string("name", None, "Of the model; default: that of the folder.")
_RESULT = cli.repeated(
  "result", "Directory of evaluate, for the card (repeatable)."
)
_CHECKPOINT_STEP = cli.define_checkpoint_step("what is exported")


def main() -> None:
  """Writes the folder and says what is in it."""
  directory, out = cli.required("checkpoint"), cli.required("out")
  name = _NAME.value or pathlib.Path(out).resolve().name
  exporting.check(directory, out, name)
  step = inputs.choose_step(directory, _CHECKPOINT_STEP.value or "latest")
  dtype = _DTYPE.value or ""
  measured = exporting.measurements(
    list(_RESULT.value or ()),
    exporting.mark(directory, step, dtype),
    inputs.fingerprint(directory, step),
  )
  from experiments.reports import model_card

  def finish(folder: pathlib.Path) -> None:
    if measured:
      exporting.add_results(str(folder), measured)
    model_card.write(folder, measured, cli.command_line(*_command(name)))

  entry = exporting.write(directory, out, name, dtype, step, finish)
  for path in sorted(pathlib.Path(out).iterdir()):
    print(f"{path}  {path.stat().st_size:,} bytes")
  size = entry["bytes"] / 2**20
  print(f"{name}: {size:.1f} MiB, {entry['dtype']}, step {entry['step']}")
  for line in model_card.notes(out):
    print(f"Note: {line}")


def _command(name: str) -> tuple[str, list[str]]:
  """What makes this folder anew, without the machine's paths."""
  given = [
    f"--checkpoint={_CHECKPOINT.value}",
    f"--out={name}",
    f"--dtype={_DTYPE.value}",
    f"--name={name}",
    *(f"--result={item}" for item in _RESULT.value or ()),
  ]
  if (step := _CHECKPOINT_STEP.value) != "latest":
    given.append(f"--checkpoint_step={step}")
  return "experiments.export_model", [
    exporting.without_path(item) for item in given
  ]


if __name__ == "__main__":
  cli.run_main(main)
