"""The pages that `make api` makes of docstrings."""

import re
import subprocess
import sys

import pytest

from tests import conftest

_LISTED = [
  line
  for line in (conftest.ROOT / "docs" / "api.txt").read_text().splitlines()
  if not line.startswith("#")
]


def test_the_list_covers_what_the_page_for_programs_names():
  page = (conftest.ROOT / "docs" / "library.md").read_text(encoding="utf-8")
  table = page[: page.index("\n## ")]
  named = re.findall(
    r"`((?:pokedreamer_jax|data_tools|experiments)\.[\w.]+)", table
  )
  assert len(named) > 5
  listed = tuple(_LISTED)
  for name in named:
    shown = any(m == name or m.startswith(f"{name}.") for m in listed)
    assert shown, name


def test_the_pages_are_made_without_a_warning(tmp_path):
  pytest.importorskip("pdoc")
  makefile = (conftest.ROOT / "Makefile").read_text(encoding="utf-8")
  (options,) = re.findall(r"\n\t\$\(RUN\) (.*-m pdoc .*) -o ", makefile)
  made = subprocess.run(
    [sys.executable, *options.split(), "-o", str(tmp_path), *_LISTED],
    capture_output=True,
    text=True,
    cwd=conftest.ROOT,
  )
  assert (made.returncode, made.stderr) == (0, "")
  for name in _LISTED:
    page = tmp_path / (name.replace(".", "/") + ".html")
    assert page.stat().st_size > 10_000, name
  text = (tmp_path / "pokedreamer_jax/behaviour/rollouts.html").read_text()
  assert "Dreams what given actions lead to" in text
  assert str(conftest.ROOT) not in text
