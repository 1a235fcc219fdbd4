"""The games of one player under a planner, day by day: a page of small figures.

Of each game where it went, and along its env steps maps, battles, goals and
what was gained. The page needs no other file.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import html
import itertools
import pathlib

import numpy as np

from data_tools.cartridge import tables as cartridge_tables
from data_tools.game import roms
from experiments.playing import play_episodes
from experiments.playing import play_traces
from experiments.reports import agent_page
from experiments.reports import agent_timeline
from experiments.reports import html_page
from experiments.reports import pictures
from experiments.reports import visit_pictures
from pokedreamer_jax import specs
from pokedreamer_jax.planner import trace as trace_lib

# Runs of rows in a lane that are not longer than this are not drawn.
_LEAST_ROWS = 4
_BATTLE = "#b98aa6"
_MAPS = ("#4d7ea8", "#93b7d2")  # in turn, so that neighbours are told apart


def write(
  path: pathlib.Path,
  line: str,
  played: play_episodes.Played,
  traces: Sequence[pathlib.Path],
  rom: roms.Rom,
) -> None:
  """Writes the page.

  Args:
    path: `.html`.
    line: who played, under whom.
    played: its `N` games, with traces of where they were.
    traces: of the planner, one a game; none where there was no planner.
    rom: the games'.

  Raises:
    OSError: it cannot be written, or a trace cannot be read.
    ValueError: a trace is damaged.
  """
  games = len(played.steps)
  goals = [_goals(trace) for trace in traces] or [[]] * games
  tables = cartridge_tables.of_rom(rom.sha1)
  sections = [
    html_page.section(
      "Colours", _legend(), html_page.paragraph("Point at a mark for words.")
    )
  ]
  for game in range(games):
    one = _only(played, game)
    sections.append(
      html_page.section(
        f"Game {game}: {_in_short(one)}",
        f'<div class="wide">{_figure(one, goals[game], rom)}</div>',
        *_map(one, tables),
      )
    )
  most = f"{games} games of at most {_most(played):,} steps"
  lead = f"{rom.describe()}; {line}, {most}"
  path.write_text(html_page.page("Games, day by day", lead, sections), "utf-8")


def _only(played: play_episodes.Played, game: int) -> play_episodes.Played:
  """One of the games."""
  assert played.traces is not None
  rows = slice(game, game + 1)
  traces = {
    field.name: getattr(played.traces, field.name)[rows]
    for field in dataclasses.fields(played.traces)
  }
  return play_episodes.Played(
    played.reward_terms[rows],
    played.steps[rows],
    played.beaten[rows],
    traces=play_traces.Traces(**traces),
  )


def _goals(path: pathlib.Path) -> list[Mapping]:
  return [line for line in trace_lib.read(path).lines if line["kind"] == "goal"]


def _most(played: play_episodes.Played) -> int:
  return int(played.reward_terms.shape[1])


def _in_short(one: play_episodes.Played) -> str:
  """What the game reached, in words."""
  sums = one.reward_terms[0].sum(axis=0)
  total = lambda term: int(sums[specs.REWARD_TERMS.index(term)])
  badges = np.flatnonzero(
    one.reward_terms[0, :, specs.REWARD_TERMS.index("badges")] > 0
  )
  at = ", ".join(f"{step:,}" for step in badges.tolist())
  return (
    f"{total('badges')} badges{f' (at {at})' if at else ''}, "
    f"{total('species')} species, {total('trainer_wins')} trainers beaten, "
    f"{int(one.steps[0]):,} env steps"
  )


def _figure(
  one: play_episodes.Played, goals: Sequence[Mapping], rom: roms.Rom
) -> str:
  steps = int(one.steps[0])
  traces = one.traces
  assert traces is not None
  names = rom.map_names
  maps = traces.cell[0, :steps, 0].astype(int)
  on = traces.running[0, :steps]
  lanes = {
    "maps": [
      agent_timeline.Span(
        start, end, _MAPS[i % 2], names.get(number, f"map {number}")
      )
      for i, (start, end, number) in enumerate(
        _runs(np.where(on, maps, -1), blank=-1)
      )
    ],
    "battles": [
      agent_timeline.Span(start, end, _BATTLE, "battle")
      for start, end, _ in _runs(traces.battle[0, :steps].astype(int), blank=0)
    ],
  }
  events = agent_page.events(one, names)
  return agent_timeline.draw(steps, goals, (), events, lanes)


def _runs(values: np.ndarray, blank: int) -> list[tuple[int, int, int]]:
  """Stretches of equal values `[T]` as `(start, end, value)`, blanks apart."""
  edges = np.flatnonzero(np.diff(values)) + 1
  bounds = [0, *edges.tolist(), len(values)]
  return [
    (start, end, int(values[start]))
    for start, end in itertools.pairwise(bounds)
    if end - start >= _LEAST_ROWS and values[start] != blank
  ]


def _map(
  one: play_episodes.Played, tables: cartridge_tables.Tables | None
) -> list[str]:
  if tables is None:
    return []
  stood = visit_pictures.visits({"this game": one})
  title = "Rows of play on each cell, battles apart"
  image = pictures.to_png(visit_pictures.draw(tables, stood, title))
  shown = html_page.image(
    pictures.data_uri(image, "image/png"), "Cells that this game stood on"
  )
  return [f"<details><summary>Where it went</summary>{shown}</details>"]


def _legend() -> str:
  marks = [("battles", _BATTLE)]
  own = "".join(
    f'<span style="color:{colour}">&#9632;</span> {html.escape(name)}&ensp;'
    for name, colour in marks
  )
  return f"<p class=note>{own}</p>{agent_timeline.legend()}"
