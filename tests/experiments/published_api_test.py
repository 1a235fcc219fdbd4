"""What docs/published_api.md shows runs, and names what there is."""

import pathlib
import re

from pokedreamer_jax.config import presets
from tests.data_tools import fakes as data_fakes
from tests.data_tools.foreign import torch_fakes
from tests.pokedreamer_jax import published_reference as reference

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PAGE = (_ROOT / "docs" / "published_api.md").read_text(encoding="utf-8")
_CODE = "\n".join(re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL))
_TABLES = _PAGE.partition("## Scripts")[0]


def _rows(text):
  """The first two cells of each row of the page's tables."""
  for line in re.findall(r"^\| (.*) \|$", text, re.MULTILINE):
    left, right = line.split(" | ")[:2]
    if left not in ("published", "published flag"):
      yield left, right


def _names(cell):
  return [name.split(".")[-1] for name in re.findall(r"`([\w.]+)`", cell)]


def test_the_script_runs_where_it_says(tmp_path, monkeypatch):
  # Small networks, but as many categorical variables as the page names.
  monkeypatch.setattr(reference, "STOCH", 32)
  monkeypatch.setattr(reference, "CLASSES", 32)
  for name, arrays in (
    ("world_model.pt", reference.world_model_arrays()),
    ("policy.pt", reference.policy_arrays()),
  ):
    (tmp_path / name).write_bytes(torch_fakes.save_checkpoint(arrays))
  data_fakes.write(
    tmp_path / "runs/mine/data", "0", [(i, 40, "random") for i in range(4)]
  )
  monkeypatch.chdir(tmp_path)
  script = {"__name__": "published_api"}
  exec(compile(_CODE, "docs/published_api.md", "exec"), script)
  assert script["embed"].shape == (2, reference.HIDDEN)
  assert script["seen"].shape == (2, 144, 160, 3)
  assert script["h"].shape == (2, reference.DETER)
  assert script["s"].shape == (2, 32 * 32)
  assert script["post_logits"].shape == (2, 32, 32)
  for name in ("reward", "cont", "value"):
    assert script[name].shape == (2,)
  assert script["frames"].shape == (15, 2, 144, 40)
  assert script["obs"].shape == (15, 3, 144, 160)
  assert script["batch"]["frame"].shape == (2, 15, 144, 40)
  assert len(script["hp"]) == 6
  assert script["screen"].shape == (144, 160, 3)


def test_every_name_has_a_line_of_code():
  rows = list(_rows(_TABLES))
  assert len(rows) > 20
  for left, right in rows:
    names = _names(left if right.startswith("the same") else right)
    assert names or "python -m experiments." in right, left
    for name in names:
      assert re.search(rf"\b{name}\b", _CODE), name


def test_commands_and_flags_shown_exist():
  modules = re.findall(r"python -m experiments\.([a-z_]+)", _PAGE)
  assert len(modules) >= 3
  for module in modules:
    assert (_ROOT / "experiments" / f"{module}.py").exists(), module
  scripts = list(_rows(_PAGE.partition("## Scripts")[2]))
  assert len(scripts) >= 4
  for left, right in scripts:
    if "--set=policy.horizon" in right:
      assert presets.make("tiny", ["policy.horizon=7"]).policy.horizon == 7
      continue
    module = re.findall(r"in `(\w+)`|`(\w+)`", right)[0]
    source = (_ROOT / "experiments" / f"{''.join(module)}.py").read_text()
    for flag in re.findall(r"`--(\w+)`", left):
      defined = f'"{flag}"' in source or f"define_{flag}(" in source
      assert defined, flag
