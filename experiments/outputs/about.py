"""What a run is, in words and fields, for those who show its metrics."""

from collections.abc import Mapping
import dataclasses
from typing import Any

_UNTOLD = ("self_sha256",)  # of the file, not of the run
Field = bool | int | float | str


@dataclasses.dataclass(frozen=True)
class About:
  """A run.

  Attributes:
    name: of its directory, with the folder above.
    stage: such as "world_model".
    config: nested, all that decides it.
    facts: of the process at work: commit, command, devices, versions.
  """

  name: str
  stage: str
  config: Mapping[str, Any]
  facts: Mapping[str, str]

  def fields(self) -> dict[str, Field]:
    """The configuration by dotted names; lists as text, nothing left out."""
    return flat(self.config)

  def texts(self) -> dict[str, str]:
    """Pages in Markdown, by name."""
    return {
      "run/configuration": _table(self.fields()),
      "run/environment": _table({"stage": self.stage, **self.facts}),
    }


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Field]:
  """`{"a": {"b": 1}}` as `{"a.b": 1}`; None is "none"."""
  found: dict[str, Field] = {}
  for name, value in values.items():
    if name in _UNTOLD:
      continue
    if isinstance(value, Mapping):
      found |= flat(value, f"{before}{name}.")
    elif isinstance(value, bool | int | float | str):
      found[f"{before}{name}"] = value
    elif value is None:
      found[f"{before}{name}"] = "none"
    else:
      found[f"{before}{name}"] = ", ".join(map(str, value))
  return found


def _table(values: Mapping[str, Field]) -> str:
  lines = ["| | |", "|---|---|"]
  for name, value in values.items():
    shown = str(value).replace("|", r"\|").replace("\n", " ")
    lines.append(f"| {name} | {shown} |")
  return "\n".join(lines)
