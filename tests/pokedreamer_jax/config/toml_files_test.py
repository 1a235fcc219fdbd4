"""A configuration as a file that explains itself, and back."""

import dataclasses

import pytest

from pokedreamer_jax.config import comments
from pokedreamer_jax.config import overrides
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.config import toml_files


def _read(path, text):
  path.write_text(text, encoding="utf-8")
  return toml_files.read(path)


@pytest.mark.parametrize("preset", sorted(presets.PRESETS))
def test_what_is_written_is_read_back(preset, tmp_path):
  made = presets.make(
    preset, ["seed=7", "train.mesh=data=-1, fsdp=1", "policy.gamma=1e-9"]
  )
  text = toml_files.text(made, presets.about(preset))
  values = _read(tmp_path / "c.toml", text)
  assert toml_files.preset_of(values, "c.toml") == preset
  # Over another preset too: a whole file leaves nothing to it.
  for base in (preset, "debug"):
    assert presets.make(base, values=values, source="c.toml") == made
  for line in presets.about(preset).splitlines():
    assert f"# {line}".rstrip() in text.splitlines()


def test_texts_of_all_kinds_survive(tmp_path):
  odd = 'a "quoted" \\ back\tslash\x7f é\u2028 # no comment'
  made = dataclasses.replace(
    presets.make("debug"), collect=config_lib.CollectConfig(start_states=odd)
  )
  values = _read(tmp_path / "c.toml", toml_files.text(made))
  assert values["collect"]["start_states"] == odd


def test_every_field_stands_below_its_comment():
  config = presets.make("tiny")
  lines = toml_files.text(config).splitlines()
  at = lines.index("episode_length = 512")
  assert lines[at - 1] == "# env steps at most, the first row included"
  at = lines.index("epochs = 0")
  assert lines[at - 2].startswith("# Passes over as many windows as there are")
  assert lines[at - 1] == "# first generation; sets `steps`, where it is not 0."
  at = lines.index("[train]")
  assert lines[at - 1] == "# Optimisation of the world model."
  written = [line.partition(" = ")[0] for line in lines if " = " in line]
  names = [p.rpartition(".")[-1] for p in overrides.paths(config)]
  assert [n for n in written if not n.startswith("#")] == names
  # Nearly all say something of themselves.
  parts = [type(getattr(config, f.name)) for f in dataclasses.fields(config)]
  told = [comments.of_fields(part) for part in parts if part not in (str, int)]
  explained = sum(bool(lines) for part in told for lines in part.values())
  assert explained > 0.6 * len(names)


def test_a_class_without_source_has_no_comments():
  made = dataclasses.make_dataclass("Made", [("field", int, 1)])
  assert comments.of_fields(made) == {}


def test_a_file_may_leave_out_what_is_as_in_its_preset(tmp_path):
  values = _read(
    tmp_path / "c.toml", "[train]\nsteps = 1e4\nlearning_rate = 1\n"
  )
  made = presets.make("tiny", ["train.burn_in=2"], values=values)
  assert (made.train.steps, made.train.burn_in) == (10_000, 2)
  assert type(made.train.steps) is int and made.train.learning_rate == 1.0
  assert made.collect == presets.make("tiny").collect


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("train = 3", r"train: 3, expected its fields, one of \['steps'"),
    ("[train]\nstep = 3", r"unknown 'step' \(did you mean 'train\.steps'"),
    ("[trian]\nsteps = 3", r"unknown 'trian' \(did you mean 'train'"),
    ("[train]\nsteps = 'x'", r"train\.steps: 'x', expected a whole number"),
    ("[train]\nsteps = 1.5", r"train\.steps: 1\.5, expected a whole number"),
    ("[train]\nsteps = 0", r"train\.steps: 0, expected at least 1"),
    (
      "[train]\nlearning_rate = inf",
      r"train\.learning_rate: inf, expected a fin",
    ),
    ("[evaluate]\ngreedy = 1", r"evaluate\.greedy: 1, expected true or false"),
    ("[[train]]\nsteps = 3", r"train: \[\{'steps': 3\}\], expected its fields"),
  ],
)
def test_what_a_file_has_wrong_is_a_line_with_its_name(text, message, tmp_path):
  values = _read(tmp_path / "c.toml", text)
  with pytest.raises(ValueError, match=rf"^c\.toml: {message}") as caught:
    presets.make("debug", values=values, source="c.toml")
  assert "\n" not in str(caught.value)


def test_no_file_and_no_toml_are_lines(tmp_path):
  with pytest.raises(ValueError, match=r"absent\.toml: No such file"):
    toml_files.read(tmp_path / "absent.toml")
  with pytest.raises(ValueError, match="a directory, expected a regular file"):
    toml_files.read(tmp_path)
  for text in ("steps = ", "{'json': 1}", "a = 1\na = 2", "x = [" * 5000):
    with pytest.raises(ValueError, match=r"c\.toml: no TOML") as caught:
      _read(tmp_path / "c.toml", text)
    assert "\n" not in str(caught.value)
  (tmp_path / "c.toml").write_bytes(b"a = '\xff'")
  with pytest.raises(ValueError, match=r"c\.toml: no TOML"):
    toml_files.read(tmp_path / "c.toml")
  with pytest.raises(ValueError, match=r"f: preset: 3, expected a text"):
    toml_files.preset_of({"preset": 3}, "f")
