"""What the page computes, run by node where there is one."""

import pathlib
import shutil
import subprocess

import pytest

from data_tools.game import frame_codec
from experiments.serving import wire
from tests.pokedreamer_jax import fakes

_HERE = pathlib.Path(__file__).parent
_PAGE = _HERE.parents[2] / "experiments" / "serving" / "page"


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_the_page_computes_as_it_should(tmp_path):
  picture = fakes.screens()[2]
  example = tmp_path / "example"
  example.with_suffix(".frame").write_bytes(
    wire.frame(wire.DREAM, picture, 7, 8, 9, 1.5)
  )
  example.with_suffix(".shades").write_bytes(
    frame_codec.unpack(picture).tobytes()
  )
  done = subprocess.run(
    ["node", _HERE / "page_test.mjs", _PAGE, example],
    capture_output=True,
    text=True,
  )
  assert done.stdout == "ok\n", done.stderr


def test_the_page_asks_for_nothing_from_elsewhere():
  for path in sorted(_PAGE.iterdir()):
    text = path.read_text(encoding="utf-8")
    text = text.replace("http://www.w3.org/2000/svg", "")  # a name, no place
    for word in ("http://", "https://", "//cdn", "@import", "eval("):
      assert word not in text, (path.name, word)


def test_buttons_and_speeds_are_those_of_the_server():
  from experiments.serving import buttons

  page = (_PAGE / "index.html").read_text(encoding="utf-8")
  for speed in (0.5, 1, 2, 4, 8):
    assert f'<option value="{speed}"' in page
    assert float(speed) in buttons.SPEEDS
