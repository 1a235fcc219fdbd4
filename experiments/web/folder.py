"""Writes the folder: the page's files, the model and where it begins."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import pathlib
import re

from experiments.web import packing
from experiments.web import starts as starts_lib
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.world_model import model as world_model

_HERE = pathlib.Path(__file__).parent / "page"
# The same buttons as on the served page. A module there; scripts here, since
# browsers read no module from disk.
_HELD = _HERE.parents[1] / "serving" / "page" / "held.js"
_COPIED = (
  *("index.html", "style.css"),
  *("numbers.js", "atlas.js", "dream.js", "map.js", "page.js"),
)
# As a static Space the folder is served as it is; the head says that it is one.
_CARD = """---
title: A dream to play
sdk: static
app_file: index.html
pinned: false
---

# A dream to play

A world model learned a small Game Boy game, made for this purpose, from its
pixels. What is played here is what the model dreams, in plain JavaScript: no
game runs. Open `index.html`, from disk or from any server of files; nothing is
asked of another place.

Model: {model}
"""


@dataclasses.dataclass(frozen=True)
class Names:
  """What the page calls things."""

  model: str
  maps: Mapping[int, str]
  species: Mapping[int, str]


def check(out: pathlib.Path) -> None:
  """Raises ValueError where a folder cannot be written."""
  if out.exists() and (not out.is_dir() or any(out.iterdir())):
    raise ValueError(f"--out={out}: there is something, expected a new folder")


def write(
  out: pathlib.Path,
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  starts: Sequence[starts_lib.Start],
  names: Names,
) -> dict[str, int]:
  """Writes a page that opens from disk.

  Args:
    out: a folder that is not there, or is empty.
    cfg: sizes.
    params: parameters; rounded to float16 here.
    starts: at least one.
    names: for people.

  Returns:
    Bytes of every file.
  """
  check(out)
  out.mkdir(parents=True, exist_ok=True)
  packed = packing.pack(packing.arrays(cfg, params))
  packed["config"] = packing.configuration(cfg)
  texts = {name: (_HERE / name).read_text("utf-8") for name in _COPIED}
  texts["README.md"] = _CARD.format(model=names.model)
  texts["held.js"] = as_script(_HELD.read_text("utf-8"))
  texts["model.js"] = packing.script("pokeDreamerModel", packed)
  texts["starts.js"] = packing.script(
    "pokeDreamerStarts",
    {**vars(names), "starts": [one.told() for one in starts]},
  )
  for name, text in texts.items():
    (out / name).write_text(text, encoding="utf-8", newline="\n")
  return {name: len(text.encode()) for name, text in texts.items()}


def as_script(module: str) -> str:
  """A module without imports as a script: its names become global.

  Raises:
    ValueError: it imports.
  """
  if re.search(r"^import\b", module, re.MULTILINE):
    raise ValueError("module: it imports, expected one that stands alone")
  return re.sub(r"^export (?=const|class|function)", "", module, flags=re.M)
