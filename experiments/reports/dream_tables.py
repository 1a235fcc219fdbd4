"""Tables of a world model's evaluation, from its `result.json`."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from experiments.reports import atlas_tables
from experiments.reports import left_out_tables
from experiments.reports import text_tables

# Metric -> its name in a header and how many decimals it has.
_METRICS = {
  "pixels": ("pixels", 3),
  "exact": ("exact", 2),
  "psnr": ("dB", 1),
  "tiles": ("tiles", 2),
  "map": ("map", 2),
  "read_tiles": ("tiles read", 2),
  "read_map": ("map read", 2),
  "read_share": ("readable", 2),
  "read_agrees": ("agree", 2),
}
_SUBJECTS = ("dream (sampled)", "dream (most likely)")
_CEILING = "emulator, other luck"
_CHANCE = "emulator, other chance"
_GROUPED = (*_SUBJECTS, _CEILING, _CHANCE, "floor (posterior)")
_WORST_TOKENS = 10  # rows of a table


def details(result: Mapping[str, Any]) -> list[text_tables.Table]:
  """Tables beside the short one; results written before have fewer."""
  tables = []
  if "intervals" in result:
    tables += [_fidelity(result), _moved(result), _drift(result)]
  if "comparisons" in result and "place_comparisons" in result:
    tables.append(_comparisons(result))
  if "calm" in result:
    tables += [_calm(result["calm"]), _calm_comparisons(result["calm"])]
    if "mode" in result["calm"]:
      tables.append(_calm_modes(result["calm"]["mode"]))
  for kind, rows in result.get("breakdown", {}).items():
    tables.append(_breakdown(kind, rows))
  if "unseen" in result:
    tables.append(_unseen(result["unseen"]))
  if "latent_use" in result:
    tables.append(_latent_use(result["latent_use"]))
  if "wrong_tokens" in result:
    tables.append(_wrong_tokens(result["wrong_tokens"]))
  if "carried" in result:
    tables.append(_carried(result["carried"]))
  if "reader" in result:
    tables.append(_reader(result["reader"]))
  if "atlas" in result:
    tables += atlas_tables.tables(result["atlas"])
  if "changed_cells" in result:
    part = result["changed_cells"]
    tables.append(left_out_tables.changed_cells(part, _interval))
  if "left_out" in result:
    tables.append(left_out_tables.left_out(result["left_out"], _interval))
  for name, table in (
    ("heads", left_out_tables.heads),
    ("probes", left_out_tables.probes),
  ):
    if name in result.get("serves_play", {}):
      tables.append(table(result["serves_play"][name], _interval))
  return [table for table in tables if table.rows]


def _fidelity(result: Mapping[str, Any]) -> text_tables.Table:
  note = "Mean [95 % interval, drawn over episodes]. dB: PSNR, at most 60."
  ahead = result["one_step"]
  if "intervals" in ahead:
    note += " One step ahead of every row: " + ", ".join(
      f"{name} {_mean(ahead[key], ahead['intervals'].get(key), 2)}"
      for key, name in (
        ("exact", "exact"),
        ("moved_exact", "of those that moved"),
        ("frozen_exact", "a frozen frame"),
      )
    )
    note += f"; {ahead['rows']} rows."
  return _lines("Fidelity", result, ("pixels", "exact", "psnr"), note)


def _moved(result: Mapping[str, Any]) -> text_tables.Table:
  moved = result["moved"]
  note = (
    "Only frames that differ from the one before: "
    f"{_counts(moved['counts'])} windows."
  )
  return _lines("Frames that moved", moved, ("pixels", "exact", "psnr"), note)


def _drift(result: Mapping[str, Any]) -> text_tables.Table:
  metrics = ("tiles", "map", "exact", "read_tiles", "read_share")
  note = (
    "Tiles and map as the model's own tokens name them; floor (guessed): as "
    "it guesses them from real frames. Read: the place that "
    "nearest training frames show, where they agree (readable). Asked where "
    "the real frame can be read; a dreamed one that cannot counts as a wrong "
    "map."
  )
  agrees = {
    k: row["read_agrees"]
    for k, row in result["lines"]["dream (sampled)"].items()
    if "read_agrees" in row
  }
  if agrees:
    note += " Of the readable sampled frames the tokens name the same place in "
    note += ", ".join(f"{share:.3f} @{k}" for k, share in agrees.items()) + "."
  return _lines("Drift of places", result, metrics, note)


def _calm(calm: Mapping[str, Any]) -> text_tables.Table:
  note = (
    "Only windows in which other luck changes no pixel up to the step: "
    f"{_counts(calm['counts'])}. What is wrong here is the model's fault."
  )
  metrics = ("pixels", "exact", "tiles", "read_tiles")
  return _lines("Calm windows", calm, metrics, note)


def _calm_modes(parts: Mapping[str, Any]) -> text_tables.Table:
  metrics = ("pixels", "exact")
  steps = list(next(iter(parts.values()))["counts"])
  header = ["mode"]
  header += [f"{_METRICS[m][0]} @{k}" for m in metrics for k in steps]
  rows, kinds = [], []
  for mode, part in parts.items():
    for line in (_SUBJECTS[0], _SUBJECTS[1]):
      cells = [_cell(part, line, k, m) for m in metrics for k in steps]
      rows.append([f"{mode}: {line.removeprefix('dream ')}", *cells])
      kinds.append("strong")
  note = "Calm windows by the mode of the recorded row: " + "; ".join(
    f"{mode} {_counts(part['counts'])}" for mode, part in parts.items()
  )
  title = "Calm windows by mode"
  return text_tables.Table(title, header, rows, kinds, f"{note}.", len(steps))


def _lines(
  title: str, part: Mapping[str, Any], metrics: Sequence[str], note: str
) -> text_tables.Table:
  """One row per line, one column per metric and step."""
  lines = part["lines"]
  steps = list(lines[_SUBJECTS[0]])
  shown = [
    metric
    for metric in metrics
    if any(metric in row for line in lines.values() for row in line.values())
  ]
  header = ["line"] + [f"{_METRICS[m][0]} @{k}" for m in shown for k in steps]
  rows, kinds = [], []
  for name in lines:
    cells = [_cell(part, name, k, metric) for metric in shown for k in steps]
    if set(cells) != {"-"}:
      rows.append([name, *cells])
      kinds.append("strong" if name in _SUBJECTS else "faint")
  return text_tables.Table(title, header, rows, kinds, note)


def _comparisons(result: Mapping[str, Any]) -> text_tables.Table:
  rows = [*result["comparisons"], *result["place_comparisons"]]
  note = (
    "Gain of the sampled dream, paired by window; above 0 it is better. "
    "Nothing can beat the emulator with other luck: there a gain near 0 is the "
    "best. It has other luck by a frame of waiting, so that what moves by "
    "itself is a frame late as well; with other chance its random numbers "
    "alone are others (mean of four)."
  )
  return _gains("Sampled dream against the lines", rows, note)


def _calm_comparisons(calm: Mapping[str, Any]) -> text_tables.Table:
  return _gains("The same in calm windows", calm["comparisons"], "")


def _gains(
  title: str, rows: Sequence[Mapping[str, Any]], note: str
) -> text_tables.Table:
  steps = sorted({row["step"] for row in rows})
  cells: dict[str, dict[int, str]] = {}
  for row in rows:
    name = f"{row['than']}: {_METRICS[row['metric']][0]}"
    text = _interval(row, _METRICS[row["metric"]][1])
    cells.setdefault(name, {})[row["step"]] = text
  return text_tables.Table(
    title,
    ["than", *(f"@{step}" for step in steps)],
    [
      [name, *(at.get(step, "-") for step in steps)]
      for name, at in cells.items()
    ],
    [""] * len(cells),
    note,
  )


def _breakdown(kind: str, parts: Mapping[str, Any]) -> text_tables.Table:
  first = next(iter(parts.values()))
  steps = [k for k in first["counts"] if k != "1"]
  header = [kind, "1 step exact", "1 step pixels", "rows"]
  for k in steps:
    header += [f"exact @{k}", f"tiles @{k}", f"n @{k}"]
  rows, kinds = [], []
  for name, part in parts.items():
    for line in (_SUBJECTS[0], _CEILING, _CHANCE):
      if line not in part["lines"]:
        continue
      row = _line_start(name, part, line)
      for k in steps:
        row += [_cell(part, line, k, "exact"), _cell(part, line, k, "tiles")]
        row.append(str(part["counts"][k]) if line == _SUBJECTS[0] else "")
      rows.append(row)
      kinds.append("" if line == _SUBJECTS[0] else "faint")
  note = (
    f"The sampled dream by the {kind} of the recorded row, and below it the "
    "emulator with other luck, by a frame of waiting and, where it is known "
    "how, by other random numbers. n: windows. 1 step: one step ahead."
  )
  title = f"By {kind}"
  return text_tables.Table(title, header, rows, kinds, note, group=3)


def _unseen(unseen: Mapping[str, Any]) -> text_tables.Table:
  steps = list(unseen["never"]["counts"])
  header = ["frames", "1 step exact", "1 step pixels", "rows"]
  header += [f"exact @{k}" for k in steps]
  rows, kinds = [], []
  for key, title in (("never", "not in training"), ("seen", "in training")):
    part = unseen[key]
    for line in _GROUPED:
      if line in part["lines"]:
        row = _line_start(title, part, line)
        rows.append([*row, *(_cell(part, line, k, "exact") for k in steps)])
        kinds.append("" if line == _SUBJECTS[0] else "faint")
  note = (
    f"Training showed {unseen['training_frames']} different frames; of the "
    f"recorded ones {_counts(unseen['never']['counts'])} are none of them. The "
    "sampled dream first, then other lines."
  )
  return text_tables.Table("Frames never seen", header, rows, kinds, note)


def _line_start(name: str, part: Mapping[str, Any], line: str) -> list[str]:
  """Name, one step ahead and its rows, of the dream alone."""
  if line != _SUBJECTS[0]:
    return [f"  {line}", "", "", ""]
  cells = [
    _interval(part["one_step"].get(metric, {}), _METRICS[metric][1])
    for metric in ("exact", "pixels")
  ]
  return [name, *cells, str(part["one_step_rows"])]


def _cell(part: Mapping[str, Any], line: str, step: str, metric: str) -> str:
  return _mean(
    part["lines"][line][step].get(metric),
    part["intervals"][line][step].get(metric),
    _METRICS[metric][1],
  )


def _latent_use(use: Mapping[str, Any]) -> text_tables.Table:
  parts = {"posterior": use["posterior"]}
  parts |= {f"dream @{k}": part for k, part in use["dream"].items()}
  rows = [
    [where, _METRICS[metric][0]]
    + [
      _interval(row[name], _METRICS[metric][1])
      for name in ("own", "other", "loss")
    ]
    for where, part in parts.items()
    for metric, row in part.items()
  ]
  note = (
    "The categorical state s of the last seen row is taken from a window of "
    "another episode. Loss above 0: s is used. KL of the posterior from the "
    f"prior: {_interval(use['kl'], 3)} nats."
  )
  header = ["where", "metric", "own s", "s of another", "loss"]
  return text_tables.Table(
    "Use of latents", header, rows, [""] * len(rows), note
  )


def _wrong_tokens(found: Mapping[str, Any]) -> text_tables.Table:
  parts = [found[name] for name in ("all", "calm") if name in found]
  names = [*parts[-1]["first_wrong"]][:_WORST_TOKENS]
  told = [
    ("all drawn as recorded", [part["right"] for part in parts]),
    ("all the likeliest", [part["likeliest_right"] for part in parts]),
    *((name, [part["first_wrong"][name] for part in parts]) for name in names),
  ]
  rows = [[name, *(_interval(one, 3) for one in ones)] for name, ones in told]
  header = ["share of rows", f"{parts[0]['rows']} rows"]
  if len(parts) > 1:
    header.append(f"{parts[1]['rows']} rows no luck changes")
  note = (
    "One step ahead, by the probabilities of the recorded tokens: how often "
    "all are drawn as recorded, and which is the first that is not. Where luck "
    "decides, a right model draws another one as well."
  )
  return text_tables.Table(
    "Tokens drawn wrongly first", header, rows, [""] * len(rows), note
  )


def _carried(carried: Mapping[str, Any]) -> text_tables.Table:
  title = "Carried states"
  if "carried_rows" not in carried:
    return text_tables.Table(title, ["metric"], [], [], carried["source"])
  rows = [
    [
      metric.replace("_", " @"),
      *(_interval(row[name], 3) for name in ("carried", "anew", "loss")),
    ]
    for metric, row in carried.items()
    if isinstance(row, Mapping) and "carried" in row
  ]
  rows += [
    [f"place after {first} rows", _interval(share, 3), "", ""]
    for first, share in carried.get("place_after", {}).items()
  ]
  note = (
    f"At {carried['looks']} rows of {carried['episodes']} episodes "
    f"({carried['source']}), after {carried['carried_rows']} rows and more "
    "with the state carried from the episode's start, and with a state that "
    "starts anew at the context's first row. Guess: share of tokens guessed "
    "right from the frame. Place: share of 16 rows of each episode whose map "
    "and position are guessed right. Loss above 0: carrying harms."
  )
  header = ["metric", "carried", "anew", "loss of carrying"]
  return text_tables.Table(title, header, rows, [""] * len(rows), note)


def _reader(reader: Mapping[str, Any]) -> text_tables.Table:
  rows, kinds = [], []
  parts = {"all": reader, **reader["mode"]}
  for name, part in parts.items():
    row = [name, str(part.get("read_share", {}).get("count", 0))]
    for metric in ("read_share", "right", "read_tiles", "read_map"):
      row.append(_interval(part[metric], 3) if metric in part else "-")
    rows.append(row)
    kinds.append("strong" if name == "all" else "")
  note = (
    f"On {reader['held_out_rows']} real held-out rows, nearest of "
    f"{reader['frames']} training frames. It does not speak of battles."
  )
  header = ["mode", "rows", "readable", "right place", "tiles off", "right map"]
  return text_tables.Table("The reader of places", header, rows, kinds, note)


def _interval(row: Mapping[str, Any], decimals: int) -> str:
  bounds = [row["low"], row["high"]] if "low" in row else None
  return _mean(row.get("mean"), bounds, decimals)


def _mean(
  mean: float | None, bounds: Sequence[float] | None, decimals: int
) -> str:
  """As `.85 [.82 .87]`, "-" where there is nothing."""
  if mean is None:
    return "-"
  if not bounds:
    return _number(mean, decimals)
  low, high = (_number(bound, decimals) for bound in bounds)
  return f"{_number(mean, decimals)} [{low} {high}]"


def _number(value: float, decimals: int) -> str:
  text = f"{value:.{decimals}f}"
  if float(text) == 0:
    return "0"
  if text.startswith("-0."):
    return "-" + text[2:]
  return text.removeprefix("0") if text.startswith("0.") else text


def _counts(counts: Mapping[str, int]) -> str:
  return ", ".join(f"{count} @{step}" for step, count in counts.items())
