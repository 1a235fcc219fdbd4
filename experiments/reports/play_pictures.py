"""What there is to see of play: where players stood, and their clips."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from experiments.playing import play_episodes
from experiments.reports import believed_ground
from experiments.reports import path_pictures
from experiments.reports import pictures
from experiments.reports import play_films
from experiments.reports import play_progress
from experiments.reports import video
from experiments.reports import visit_pictures
from experiments.runs import progress
from experiments.runs import run_directory
from pokedreamer_jax import specs
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import atlas as atlas_lib

# A learned player -> atlas and dictionary of its world model, where it has one.
Memory = Callable[[str], tuple[atlas_lib.Atlas, tiles.TileTable] | None]
VISITS = "visits.png"
PATHS = "paths.png"


def make(
  run: run_directory.Run,
  setting: play_episodes.Setting,
  played: Mapping[str, play_episodes.Played],
  learned: Sequence[str],
  videos: str,
  memory: Memory = lambda name: None,
) -> dict[str, Any]:
  """Draws and films as far as that is possible; the run log says what is not.

  Args:
    run: whose directory the pictures go to.
    setting: in which all played.
    played: by player, with traces.
    learned: players that may be filmed.
    videos: whose, as in `evaluate.videos`.
    memory: of whom it has one, what the world model of a learned player
      remembers of the maps; paths are drawn on that of the last who is shown.

  Returns:
    JSON-ready: `visits`, the name of the picture or None; `paths`, the same of
    one game played by several, with its `episode`, `seed` and `players`, whose
    atlas the maps are `of` (None: they are the true ones) and how many cells
    are `unknown` to it; and `videos`, by player what `play_films.shoot` tells.
  """
  return {
    "visits": _draw(run, setting, played),
    "paths": _draw_paths(run, setting, played, learned, memory),
    "videos": _film(run, setting, played, _filmed(learned, videos)),
  }


def _draw(run, setting, played) -> str | None:
  title = (
    f"Rows of play on each cell, battles apart, {len(setting.seeds)} episodes "
    "of each player together; maps that nobody entered are left out"
  )
  try:
    visit_pictures.save(
      setting.rom, visit_pictures.visits(played), title, run.path / VISITS
    )
  except (OSError, ValueError) as error:
    run.log(f"No picture of where players stood: {error}")
    return None
  return VISITS


def _draw_paths(run, setting, played, learned, memory) -> dict[str, Any] | None:
  names = path_pictures.names(played)
  if not names:
    return None
  episode = path_pictures.typical(played[names[-1]])
  paths = {name: path_pictures.path(played[name], episode) for name in names}
  whose = names[-1] if names[-1] in learned else None
  try:
    remembered = None if whose is None else memory(whose)
    if remembered is None:
      whose, groups = None, path_pictures.true_groups(setting.rom, paths)
    else:
      walked = [one.cell for one in paths.values()]
      groups = believed_ground.groups(remembered, setting.rom, walked)
    title = f"The same game, number {episode}: a dot begins, a ring has the "
    title += f"badge; maps: {'the true ones' if whose is None else ''}"
    title += "" if whose is None else f"as the atlas of {whose} has them"
    image = path_pictures.draw(groups, paths, title)
    pictures.save_png(image, run.path / PATHS)
  except OSError as error:
    run.log(f"No picture of paths: {error}")
    return None
  except ValueError:  # no maps, as the picture before has said
    return None
  return {
    "file": PATHS,
    "episode": episode,
    "seed": int(setting.seeds[episode]),
    "players": names,
    "of": whose,
    "unknown": believed_ground.unknown_cells(groups),
  }


def _filmed(learned: Sequence[str], videos: str) -> Sequence[str]:
  subject = play_progress.subject(learned)
  choice = {"all": learned, "policy": [subject] if subject else [], "off": []}
  return choice[videos]


def _film(run, setting, played, names: Sequence[str]) -> dict[str, Any]:
  films: dict[str, Any] = {}
  if names and not video.have_codec():
    run.log("No videos of play: the package av has no H.264 encoder here.")
    return films
  if not names:
    return films
  with progress.Progress("filming", len(names), "players") as bar:
    for done, name in enumerate(names):
      bar.phase(f"filming {name}", about_s=5)
      try:
        films[name] = play_films.shoot(
          played[name],
          setting,
          specs.REWARD_WEIGHTS["published"],
          name,
          run.path,
        )
      except (OSError, ValueError) as error:
        run.log(f"No video of {name}: {error}")
      bar.update(done + 1)
  return films
