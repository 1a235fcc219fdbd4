"""Modules of the cartridge's engine know each other in one direction."""

import re

from data_tools.cartridge import build

# Bottom up. A lost battle enters the map of the healer: the one way back.
_FULL_ORDER = (
  "video",
  "party",
  "map",
  "view",
  "text",
  "battle",
  "people",
  "field",
  "main",
)
_BACK = {("battle", "field")}


def _subject(name):
  return name.removesuffix("_full")


def _arrows(modules):
  """Pairs of module and module whose header it includes."""
  for module in modules:
    code = (build.ENGINE / f"{module}.c").read_text()
    for header in re.findall(r'^#include "(\w+)\.h"', code, re.MULTILINE):
      if _subject(header) != _subject(module):
        yield _subject(module), _subject(header)


def test_modules_of_a_full_world_include_no_circle():
  modules = [name for name in build.FULL_MODULES if name != "world_data"]
  assert sorted(map(_subject, modules)) == sorted(_FULL_ORDER)
  place = {name: i for i, name in enumerate(_FULL_ORDER)}
  back = {
    (user, used)
    for user, used in _arrows(modules)
    if used in place and place[used] > place[user]
  }
  assert back == _BACK
