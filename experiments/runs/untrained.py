"""Numbers of what has hardly learned carry a warning."""

from experiments.runs import inputs
from experiments.runs import run_directory

WIRING = (
  "Preset debug tries the wiring: everything ran, and the numbers mean nothing."
)

# Updates below which a run has learned nothing worth measuring, by its stage:
# about a tenth of what the smallest preset that learns takes.
_FEW_UPDATES = {"world_model": 200, "clone": 100, "policy": 10}


def warning(directory: str, step: int | None = None) -> str:
  """What is to be said beside the numbers of a checkpoint; "" for nothing.

  Args:
    directory: run directory of a world model, clone or policy.
    step: which checkpoint; None is the latest.

  Raises:
    ValueError: not a run directory, or no checkpoint in it.
  """
  if run_directory.read_config(directory).get("preset") == "debug":
    return (
      f"{directory} was trained with preset debug: its numbers mean nothing"
    )
  stage = run_directory.read_stage(directory)
  few = _FEW_UPDATES.get(stage, 0)
  updates = int(inputs.fingerprint(directory, step).get("step", few))
  if updates >= few:
    return ""
  return (
    f"{directory} is a {stage.replace('_', ' ')} after {updates} updates, "
    f"fewer than {few}: its numbers are those of an untrained model"
  )
