r"""Writes models and records as folders for the Hugging Face Hub; sends them.

    python -m experiments.upload_to_hf --checkpoint=DIR --repo=user/name
    python -m experiments.upload_to_hf --data_dir=DIR --repo=user/name
    HF_TOKEN=... python -m experiments.upload_to_hf ... --upload

Nothing is sent without `--upload`: the folders are made, and what is in them is
listed. `--checkpoint` goes to the model of this name, `--data_dir` to the data
set of this name, shards with a few frames as pictures. A new repository is
private unless `--public` is given. The token comes from the environment, whose
variable `--token_env` names, and is never shown. A call that was cut is gone on
with by the same command. Games other than the practice cartridges are refused.
Needs huggingface_hub to send: `pip install -r requirements-hub.txt`.
"""

import pathlib

from absl import flags

from experiments.runs import cli
from experiments.runs import exporting
from experiments.runs import hub
from experiments.runs import inputs

_DTYPES = ("float16", "bfloat16", "float32", "int8")

_CHECKPOINT = cli.string(
  "checkpoint", None, "Run directory of a world model, clone or policy."
)
_DATA_DIR = cli.string("data_dir", None, "Directory of records.")
_REPO = cli.string("repo", None, "Where it goes: user/name.")
_TOKEN_ENV = cli.string(
  "token_env", None, "Environment variable with the token; default: HF_TOKEN."
)
_TOKEN = cli.string(
  "token", None, "The same by its published name; a token itself is refused."
)
_WORKDIR = cli.string(
  "workdir", None, "Where folders are made; default: runs/upload/user/name."
)
_PUBLIC = cli.boolean("public", False, "Makes new repositories public.")
_DRY_RUN = cli.boolean("dry_run", True, "Makes and lists; the default.")
_UPLOAD = cli.boolean("upload", False, "Sends what was made.")
_DTYPE = cli.string(
  "dtype",
  None,
  f"One of {', '.join(_DTYPES)}; default: float16, or as exported before.",
)
_RESULT = cli.repeated(
  "result", "Directory of evaluate, for the card (repeatable)."
)
_MAX_FILES = cli.integer("max_files", 0, "Shards to take; 0 is all.")
_FRAMES = cli.integer("preview_frames", 48, "Pictures beside records.")
_FOREIGN = cli.boolean(
  "foreign_pictures",
  False,
  "Takes pictures of other games than the practice cartridges: only where you "
  "hold the rights.",
)
_CHECKPOINT_STEP = cli.define_checkpoint_step("what is sent")


def main() -> None:
  """Looks at what was given, makes the folders, and may send them."""
  from experiments.sharing import folders
  from experiments.sharing import uploading

  repo, key = _checked()
  workdir = pathlib.Path(_WORKDIR.value or pathlib.Path("runs/upload", repo))
  public = bool(_PUBLIC.value)
  shipments = []
  if _DATA_DIR.value:  # looks at its games before anything is written
    shipments.append(
      folders.records(
        _DATA_DIR.value,
        workdir,
        repo,
        _MAX_FILES.value or 0,
        _FRAMES.value or 0,
        bool(_FOREIGN.value),
      )
    )
  if _CHECKPOINT.value:
    step = inputs.choose_step(
      _CHECKPOINT.value, _CHECKPOINT_STEP.value or "latest"
    )
    shipments.append(
      folders.model(
        _CHECKPOINT.value,
        workdir,
        repo,
        _command(),
        _DTYPE.value,
        step,
        list(_RESULT.value or ()),
        bool(_FOREIGN.value),
      )
    )
  for shipment in shipments:
    print("\n".join(uploading.listing(shipment, public)), flush=True)
  if not key:
    print("Nothing was sent: --upload does it.")
    return
  for shipment in shipments:
    page = uploading.send(shipment, key, public)
    print(f"{shipment.kind} {shipment.repo}: {page}", flush=True)


def _checked() -> tuple[str, str]:
  """The repository and the token; "" where nothing is to be sent.

  Raises:
    ValueError: a flag is missing, malformed or speaks against another.
  """
  from experiments.sharing import uploading

  repo = cli.required("repo")
  if not hub.is_repo(repo):
    raise ValueError(
      f"--repo={repo}: expected user/name of letters, digits, '-', '_' and '.'"
    )
  if not _CHECKPOINT.value and not _DATA_DIR.value:
    raise ValueError("--checkpoint or --data_dir is required")
  if _DTYPE.value not in (None, *_DTYPES):
    raise ValueError(
      f"--dtype={_DTYPE.value}: expected one of {', '.join(_DTYPES)}"
    )
  for name in ("max_files", "preview_frames"):
    least = int(name == "preview_frames")
    if (flags.FLAGS[name].value or 0) < least:
      raise ValueError(
        f"--{name}={flags.FLAGS[name].value}: expected at least {least}"
      )
  # Also where nothing is sent: what was typed is to be revoked now.
  given = {"token": _TOKEN.value, "token_env": _TOKEN_ENV.value}
  variables = {n: v for n, v in given.items() if v is not None}
  for flag, variable in variables.items():
    uploading.check_variable(flag, variable)
  if len(variables) > 1:
    raise ValueError("--token and --token_env: two names of one, expected one")
  dry = flags.FLAGS["dry_run"]
  if bool(_UPLOAD.value) == bool(dry.value) and dry.present:
    raise ValueError(
      f"--dry_run={dry.value}, --upload={_UPLOAD.value}: expected one of "
      "--dry_run and --upload"
    )
  if not _UPLOAD.value:
    return repo, ""
  hub.library()
  ((flag, variable),) = (variables or {"token_env": hub.TOKEN_VARIABLE}).items()
  return repo, uploading.token(flag, variable)


def _command() -> str:
  """What was called, for the card: without paths and names of variables."""
  given = [f"--checkpoint={_CHECKPOINT.value}", f"--repo={_REPO.value}"]
  given += [f"--dtype={_DTYPE.value}"] if _DTYPE.value else []
  given += [f"--result={item}" for item in _RESULT.value or ()]
  if (step := _CHECKPOINT_STEP.value) != "latest":
    given.append(f"--checkpoint_step={step}")
  return cli.command_line(
    "experiments.upload_to_hf", [exporting.without_path(item) for item in given]
  )


if __name__ == "__main__":
  cli.run_main(main)
