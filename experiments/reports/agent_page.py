"""The page of one game of both systems: goals, events, places, and a clip."""

from collections.abc import Mapping
import pathlib
from typing import Any

import numpy as np

from data_tools.cartridge import tables as cartridge_tables
from data_tools.game import roms
from experiments.playing import play_episodes
from experiments.reports import agent_timeline
from experiments.reports import html_page
from experiments.reports import pictures
from experiments.reports import video
from experiments.reports import visit_pictures
from pokedreamer_jax import specs
from pokedreamer_jax.planner import trace as trace_lib

FPS = 10
MOST_FRAMES = 600  # of a clip, which sees every k-th step of a longer game
_CRF = 26
_MOST_ROWS = 400  # of a table
_MOST_INLINE_BYTES = 8_000_000  # a larger clip is named, not shown
# Why the driver named a goal (`trace.LED`), in words.
_LED = {
  "reached": "the next on the way",
  "out of time": "another way, out of time",
  "stagnant": "another way, no nearer",
  "still": "another way, on one cell",
  "strayed": "from where it strayed",
  "resumed": "what a battle held up",
}
_EVENTS = ("badges", "trainer_wins", "species", "new_maps")


def events(
  played: play_episodes.Played, map_names: Mapping[int, str]
) -> list[agent_timeline.Event]:
  """What a game gained, in order; `played` is of one game."""
  found = []
  for term in _EVENTS:
    column = played.reward_terms[0, :, specs.REWARD_TERMS.index(term)]
    for t in np.flatnonzero(column > 0).tolist():
      text = term.replace("_", " ").removesuffix("s")
      if played.traces is not None:
        map_id = int(played.traces.cell[0, t, 0])
        text += f", {map_names.get(map_id, f'map {map_id}')}"
      found.append(agent_timeline.Event(t, term, text))
  return sorted(found, key=lambda event: (event.env_step, event.term))


def write(
  path: pathlib.Path,
  result: Mapping[str, Any],
  played: play_episodes.Played,
  trace: trace_lib.Trace | None,
  rom: roms.Rom,
  clip: pathlib.Path | None,
) -> None:
  """Writes the page, which needs no other file.

  Args:
    path: `.html`.
    result: of `run_agent`.
    played: the game.
    trace: of its planner; None for none.
    rom: the game's.
    clip: a film of it, or None.

  Raises:
    OSError: it cannot be written.
  """
  gained = events(played, rom.map_names)
  steps = int(played.steps[0])
  lines = trace.lines if trace else ()
  goals = [line for line in lines if line["kind"] == "goal"]
  calls = trace.calls if trace else []
  leads = [line for line in lines if line["kind"] == "lead"]
  sections = [
    html_page.section("In short", _numbers(result)),
    html_page.section(
      "Along the game",
      f'<div class="wide">{agent_timeline.draw(steps, goals, calls, gained)}'
      "</div>",
      agent_timeline.legend(),
    ),
    html_page.section("Where it went", *_places(played, rom)),
    html_page.section("Goals", *_goals(goals, calls, leads)),
    html_page.section("Events", _events(gained)),
  ]
  notes = [line for line in lines if line["kind"] == "note"]
  if notes:
    sections.append(html_page.section("What the log said", _notes(notes)))
  if clip is not None:
    sections.insert(1, html_page.section("The game", _clip(clip)))
  lead = (
    f"{rom.name}, planner {result['planner']['name']}, {steps:,} env steps, "
    f"ended by {result['ended_by']}"
  )
  path.write_text(html_page.page("One game", lead, sections), "utf-8")


def film(
  path: pathlib.Path,
  frames: Mapping[int, np.ndarray],
  captions: Mapping[int, str],
  label: str,
) -> pathlib.Path:
  """Writes a clip of some frames `[144, 40]` by env step.

  Returns:
    Where it is: without an encoder another ending.
  """
  stream = np.stack([frames[t] for t in sorted(frames)])
  told = [captions[t] for t in sorted(frames)]
  shown = video.side_by_side([stream], [label], told, scale=3)
  return video.write(path, shown, FPS, _CRF)


def _numbers(result: Mapping[str, Any]) -> str:
  planner, game = result["planner"], result["game"]
  cost = planner["cost_usd"]
  pairs = [
    ("badges", f"{game['badges']:.0f}"),
    ("step of the first badge", _or_dash(game["first_badge"])),
    ("maps", f"{game['maps']:.0f}"),
    ("cells", f"{game['cells']:.0f}"),
    ("trainers beaten", f"{game['trainer_wins']:.0f}"),
    ("env steps with a goal", f"{result['share_with_goal']:.0%}"),
    ("goals reached", f"{planner['reached']} of {planner['ended']}"),
    ("asked", f"{planner['asks']}"),
    ("calls of a service", f"{planner['calls']}"),
    ("tokens in, out", f"{planner['tokens_in']:,}, {planner['tokens_out']:,}"),
    ("cost", "not known" if cost is None else f"{cost:.4f} USD"),
    *(
      (f"at prices of {model}", f"{usd:.4f} USD")
      for model, usd in planner.get("at_prices_of", {}).items()
      if planner["tokens_in"]
    ),
    ("decision, p50 and p99", _times(result["times"])),
  ]
  rows = [html_page.TableRow(pair) for pair in pairs]
  return html_page.table(["", ""], rows)


def _times(times: Mapping[str, Any]) -> str:
  return f"{times['p50_ms']:.1f} and {times['p99_ms']:.1f} ms"


def _or_dash(value: Any) -> str:
  return "-" if value is None else str(value)


def _places(played: play_episodes.Played, rom: roms.Rom) -> list[str]:
  tables = cartridge_tables.of_rom(rom.sha1)
  if tables is None:
    return [html_page.paragraph("There are no tables of this game's maps.")]
  stood = visit_pictures.visits({"this game": played})
  title = "Rows of play on each cell, battles apart"
  image = pictures.to_png(visit_pictures.draw(tables, stood, title))
  uri = pictures.data_uri(image, "image/png")
  return [
    html_page.image(uri, "Cells stood on; maps it never saw are left out")
  ]


def _goals(goals: Any, calls: Any, leads: Any) -> list[str]:
  if not goals:
    return [html_page.paragraph("No goal was pursued.")]
  why = {
    line["applied_step"]: line
    for line in calls
    if line["applied_step"] is not None
  }
  led = {line["env_step"]: line for line in leads}
  rows = []
  for line in goals[:_MOST_ROWS]:
    start = line["env_step"] - line["env_steps"]
    asked, by, reason = "", "", ""
    if call := why.get(start):
      asked, by = call["trigger"], call["answered_by"]
      reason = call["reply"]["rationale"][:120]
      if call.get("pursued") not in (None, call["reply"]["goal"]):
        reason = f"{call['reply']['goal']}: {reason}"
    elif lead := led.get(start):
      by, reason = "driver", f"{lead['errand']}: {_LED.get(lead['reason'], '')}"
    rows.append(
      html_page.TableRow(
        [
          line["goal"],
          f"{start:,}",
          f"{line['env_steps']:,}",
          line["outcome"],
          *(asked, by, reason),
        ],
        "strong" if line["outcome"] == "reached" else "",
      )
    )
  header = ["goal", "from", "env steps", "became", "asked for", "by", "reason"]
  made = html_page.table(header, rows)
  more = len(goals) - len(rows)
  left = [html_page.paragraph(f"{more} more in trace.jsonl.")] if more else []
  return [made, *left]


def _events(gained: Any) -> str:
  rows = [
    html_page.TableRow([event.text, f"{event.env_step:,}"])
    for event in gained[:_MOST_ROWS]
  ]
  return html_page.table(["event", "env step"], rows)


def _notes(notes: Any) -> str:
  rows = [
    html_page.TableRow([f"{line['env_step']:,}", line["text"]])
    for line in notes[:_MOST_ROWS]
  ]
  return html_page.table(["env step", ""], rows)


def _clip(clip: pathlib.Path) -> str:
  if clip.stat().st_size > _MOST_INLINE_BYTES:
    return html_page.paragraph(f"See {clip.name}.")
  kind = "video/mp4" if clip.suffix == ".mp4" else "image/webp"
  uri = pictures.data_uri(clip.read_bytes(), kind)
  return html_page.clip(uri, "Sped up; below each picture its step and goal")
