"""Writes report.html: one self-contained file about a quickstart.

    python -m experiments.report --workdir=runs/quickstart

First a film, four numbers and a sentence, with their verdicts on a click; then
dreams, play, curves, costs, commands and configuration. Whatever is not there
yet is left out. Nothing in the file needs the network.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import json
import pathlib
from typing import Any

from experiments.reports import atlas_tables
from experiments.reports import dream_tables
from experiments.reports import headline
from experiments.reports import honesty_curves
from experiments.reports import html_page
from experiments.reports import pictures
from experiments.reports import play_progress
from experiments.reports import summary
from experiments.reports import text_tables
from experiments.runs import json_store
from experiments.runs import metrics
from experiments.runs import plans
from experiments.runs import run_directory
from pokedreamer_jax import json_files

# Stage -> its curves, in the order of the page; a stage may record more.
_CURVES = {
  "world_model": (
    "World model",
    (
      *("loss/image", "loss/tokens", "loss/kl", "loss/reward"),
      *("val/exact_15", "val/pixels_15", "val/tiles_15"),
    ),
  ),
  "clone_all": (
    "Clone of all demonstrations",
    ("loss/clone", "clone/accuracy", "val/clone/accuracy"),
  ),
  "clone": ("Clone", ("loss/clone", "clone/accuracy", "val/clone/accuracy")),
  "policy": (
    "Policy in dreams",
    (
      *("imagined/reward", "imagined/return"),
      *("policy/entropy", "policy/kl_to_clone"),
    ),
  ),
  "policy_scratch": (
    "Policy from scratch",
    ("imagined/reward", "imagined/return", "policy/entropy"),
  ),
}
_DREAMS = "evaluation/world_model"
_PLAY = "evaluation/play"
_MOST_CURVES = 6  # of a stage that records none of the above


def render(workdir: pathlib.Path) -> str:
  """The whole page."""
  shown = summary.collect(workdir)
  sections = [
    _first(workdir, shown),
    _dreams(workdir),
    _paths(workdir),
    _atlas(workdir),
    *(_table(table) for table in shown.tables),
    _play(workdir),
    _dream_details(workdir),
    honesty_curves.section(workdir),
    _curves(workdir),
    _costs(workdir, shown.costs),
    _commands(workdir),
    _setting(workdir),
  ]
  return html_page.page(
    "An agent trained in its own dreams",
    _lead(workdir),
    [section for section in sections if section],
  )


def _lead(workdir: pathlib.Path) -> str:
  config = run_directory.read_config(workdir)
  start = _last_start(workdir)
  return (
    f"Preset {config.get('preset')}, seed {config.get('seed')}, ROM "
    f"{str(config.get('rom'))[:12]}, code {start.get('commit', 'unknown')}, "
    f"{start.get('time', '')[:16].replace('T', ' ')}"
  )


def _first(workdir: pathlib.Path, shown: summary.Summary) -> str:
  """What is seen first; what it rests on opens on a click."""
  parts = [_clip(workdir)]
  if shown.caution:
    parts.append(html_page.sentence(shown.caution, caution=True))
  else:
    numbers, sentence = headline.collect(workdir)
    parts.append(
      html_page.numbers([(n.value, n.what, n.beside) for n in numbers])
    )
    if sentence:
      parts.append(html_page.sentence(sentence))
  notes = [html_page.paragraph(f"Note: {note}") for note in shown.notes]
  if shown.verdicts or notes:
    verdicts = html_page.verdicts([(v.holds, v.text) for v in shown.verdicts])
    parts.append(
      html_page.details(_verdicts_line(shown.verdicts), verdicts, *notes)
    )
  return html_page.first(*parts)


def _verdicts_line(verdicts: Sequence[text_tables.Verdict]) -> str:
  """How many statements hold: `7 of 8 statements hold (95 % intervals)`."""
  measured = [v.holds for v in verdicts if v.holds is not None]
  if not measured:
    return "Notes" if not verdicts else "What was not measured"
  return (
    f"{sum(measured)} of {len(measured)} statements hold: which, with their "
    "95 % intervals"
  )


def _paths(workdir: pathlib.Path) -> str:
  """One game, played by several: their paths on the map."""
  folder = workdir / _PLAY
  paths = run_directory.read_result(folder).get("paths")
  if not paths or not (folder / "paths.png").exists():
    return ""
  players = ", ".join(paths["players"])
  caption = (
    f"Game {paths['episode']} of those measured, from its first to its last "
    f"step: {players}. A dot is where it begins, a ring where a badge was won; "
    "battles are no places. It is the game in which the last of them took its "
    f"median time. {_ground(paths)}"
  )
  picture = _picture(folder / "paths.png", caption)
  return html_page.section("The same game, played by each", picture)


def _ground(paths: Mapping[str, Any]) -> str:
  """Which maps paths are drawn on."""
  if not paths.get("of"):
    return "The maps are the cartridge's own."
  unknown = "every cell of them it has seen"
  if paths["unknown"]:
    unknown = f"{paths['unknown']:,} of their cells it never saw, hatched"
  return (
    f"The maps are those that the world model of {paths['of']} remembers of "
    f"its training (the atlas): {unknown}."
  )


def _dreams(workdir: pathlib.Path) -> str:
  """The contact sheet, and what it shows; strips by mode open on a click."""
  for folder in (_DREAMS, "world_model"):
    path = workdir / folder / "dreams.png"
    if path.exists():
      caption = (
        "Held-out episodes. Real: what the game showed. Dream: the model saw "
        "the frames before the first column, then nothing but the buttons. "
        "Difference: what is wrong in orange. Green borders mark frames that "
        "are right in every pixel. In battles chance decides, which no model "
        "knows before."
      )
      parts = [_picture(path, caption)]
      by_mode = path.with_name("modes.png")
      if by_mode.exists():
        caption = (
          "More of them, by what the game is doing. Reconstruction: the model "
          "sees every frame."
        )
        parts.append(html_page.details("By mode", _picture(by_mode, caption)))
      return html_page.section("Dreams", *parts)
  return ""


def _atlas(workdir: pathlib.Path) -> str:
  """What the map memory holds, and where dreams are wrong in it."""
  found = run_directory.read_result(workdir / _DREAMS).get("atlas")
  if not found:
    return ""
  sentences = {"atlas.png": atlas_tables.sentence}
  if "errors" in found:
    sentences["atlas_errors.png"] = atlas_tables.errors_sentence
  parts = [
    _picture(workdir / _DREAMS / name, sentence(found))
    for name, sentence in sentences.items()
    if (workdir / _DREAMS / name).exists()
  ]
  title = "What the model believes the world looks like"
  return html_page.section(title, *parts) if parts else ""


def _picture(path: pathlib.Path, caption: str) -> str:
  uri = pictures.data_uri(path.read_bytes(), "image/png")
  return html_page.image(uri, caption)


def _dream_details(workdir: pathlib.Path) -> str:
  """How places drift, and every table of the evaluation, on a click."""
  result = run_directory.read_result(workdir / _DREAMS)
  parts = []
  drift = workdir / _DREAMS / "drift.png"
  if drift.exists():
    caption = (
      "Distance in tiles between the recorded place and that of each line. "
      "The emulator with other luck is what chance allows."
    )
    parts.append(_picture(drift, caption))
  parts += [
    html_page.details(table.title, *_table_parts(table))
    for table in dream_tables.details(result)
  ]
  return html_page.section("Dreams in detail", *parts) if parts else ""


def _clip(workdir: pathlib.Path) -> str:
  kinds = {".mp4": "video/mp4", ".webp": "image/webp"}
  for suffix, kind in kinds.items():
    path = workdir / "videos" / f"demo{suffix}"
    if path.exists():
      uri = pictures.data_uri(path.read_bytes(), kind)
      caption = (
        "Left: the emulator. Beside it: imagined from the prior alone, under "
        "the same buttons; after some steps the model sees the game and dreams "
        "anew. Right: the emulator from there with other luck, which is as "
        "close as a dream can be. Green where every pixel is right."
      )
      return html_page.clip(uri, caption)
  return ""


def _play(workdir: pathlib.Path) -> str:
  """Where players stood, and the best and worst episode of the policy."""
  folder = workdir / _PLAY
  play = run_directory.read_result(folder)
  parts = []
  visits = folder / "visits.png"
  if play.get("visits") and visits.exists():
    caption = (
      "Where players stood. Colours go by the logarithm of the rows of play "
      "that a cell was stood on; what nobody visited is dim."
    )
    parts.append(_picture(visits, caption))
  films = play.get("videos", {})
  name = play_progress.subject(films) or ""
  for end, film in films.get(name, {}).items():
    path = folder / pathlib.Path(film["file"]).name
    if path.exists():
      uri = pictures.data_uri(path.read_bytes(), "video/mp4")
      parts.append(
        html_page.clip(uri, play_progress.film_sentence(film, end, name))
      )
  return html_page.section("Play to look at", *parts) if parts else ""


def _table(table: text_tables.Table) -> str:
  return html_page.section(table.title, *_table_parts(table))


def _table_parts(table: text_tables.Table) -> list[str]:
  rows = [
    html_page.TableRow(cells, kind)
    for cells, kind in zip(table.rows, table.kinds, strict=True)
  ]
  note = html_page.paragraph(table.note, note=True) if table.note else ""
  return [html_page.table(table.header, rows), note]


def _curves(workdir: pathlib.Path) -> str:
  parts = []
  for folder, (title, wanted) in _CURVES.items():
    rows = metrics.read(workdir / folder / "metrics.jsonl")
    recorded = {name for row in rows for name in row} - {"step", "time_s"}
    names = [name for name in wanted if name in recorded]
    names = names or sorted(recorded)[:_MOST_CURVES]
    if names:
      charts = [
        html_page.chart(name, {name: metrics.curve(rows, name)}, "updates")
        for name in names
      ]
      parts += [html_page.heading(title), html_page.charts(charts)]
  return html_page.section("Curves", *parts) if parts else ""


def _costs(workdir: pathlib.Path, table: text_tables.Table) -> str:
  del workdir
  return _table(table) if table.rows else ""


def _commands(workdir: pathlib.Path) -> str:
  """What was typed, and what it ran."""
  start = _last_start(workdir)
  stages = plans.read_costs(workdir).get("commands", {})
  lines = [f"# {name}\n{command}" for name, command in stages.items()]
  if not lines:
    return ""
  again = html_page.paragraph("The same command on the same directory resumes.")
  return html_page.section(
    "Commands",
    html_page.code(start.get("command", "")),
    again,
    html_page.details("The stages", html_page.code("\n".join(lines))),
  )


def _setting(workdir: pathlib.Path) -> str:
  """Environment and configuration."""
  config = run_directory.read_config(workdir)
  start = _last_start(workdir)
  trained = _last_start(workdir / "world_model")
  environment = {
    "python": start.get("python"),
    "platform": start.get("platform"),
    "devices": trained.get("devices") or start.get("devices"),
    **start.get("versions", {}),
  }
  return html_page.section(
    "Setting",
    html_page.details("Environment", html_page.code(_pretty(environment))),
    html_page.details("Configuration", html_page.code(_pretty(config))),
  )


def _last_start(workdir: pathlib.Path) -> dict:
  path = workdir / "meta.json"
  starts = json_store.read_json(path).get("starts", [])
  starts = json_files.as_list(starts, f"{path}: starts")
  return json_files.as_object(starts[-1], f"{path}: starts") if starts else {}


def _pretty(value: object) -> str:
  return json.dumps(value, indent=2)
