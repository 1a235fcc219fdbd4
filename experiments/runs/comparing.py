"""What a run directory records, against what is asked of it."""

from collections.abc import Collection
from collections.abc import Mapping
import json
import pathlib
from typing import Any

from pokedreamer_jax.config import run as config_lib

_MISSING = object()


def config_differences(
  old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
  """Dotted name, old and new value of every field that differs.

  A field that one side lacks shows as the text "absent".
  """
  old_fields, new_fields = _flatten(old), _flatten(new)
  differences = []
  for name in sorted({*old_fields, *new_fields}):
    before = old_fields.get(name, _MISSING)
    after = new_fields.get(name, _MISSING)
    if before != after:
      differences.append(
        (
          name,
          "absent" if before is _MISSING else before,
          "absent" if after is _MISSING else after,
        )
      )
  return differences


def check_same(
  path: pathlib.Path,
  old: Mapping[str, Any],
  new: Mapping[str, Any],
  free: Collection[str],
) -> bool:
  """Compares what a run directory records with what is asked for.

  Returns:
    Whether fields differ that are free to.

  Raises:
    ValueError: others differ; they are listed.
  """

  def is_free(name: str) -> bool:
    return any(name == item or name.startswith(item + ".") for item in free)

  every = config_differences({**_added_since(old, new), **_flatten(old)}, new)
  differences = [item for item in every if not is_free(item[0])]
  if differences:
    lines = [
      f"  {name}: there {before!r}, asked for {after!r}"
      for name, before, after in differences
    ]
    raise ValueError(
      f"{path} holds a run of another configuration:\n"
      + "\n".join(lines)
      + "\nGive the same values, or another --workdir."
    )
  return bool(every)


def _added_since(
  old: Mapping[str, Any], new: Mapping[str, Any]
) -> dict[str, Any]:
  """Defaults of the fields that `new` has and an older version had not."""
  defaults = json.loads(json.dumps(config_lib.to_dict(config_lib.Config())))
  fields = _flatten(defaults)
  missing = _flatten(new).keys() - _flatten(old).keys()
  return {name: fields[name] for name in missing & fields.keys()}


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
  if not isinstance(value, Mapping):
    return {prefix: value}
  flat: dict[str, Any] = {}
  for name, inner in value.items():
    flat.update(_flatten(inner, f"{prefix}.{name}" if prefix else name))
  return flat
