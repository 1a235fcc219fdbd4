"""Pictures of dreams: strips of frames, and how places drift apart."""

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib
from typing import Any

import jax
import numpy as np

from experiments.reports import pictures
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.evaluation import modes
from pokedreamer_jax.world_model import model as world_model

_SHEET_STEPS = 15  # open-loop steps that a sheet shows
_TELLING_STEPS = (1, 2, 3, 4, 6, 8, 11, 15)  # and one of few windows, larger
_TELLING = ("door", "dialog", "battle", "route")
_SIZE, _LEFT, _TOP, _RIGHT, _BOTTOM = (880, 460), 60, 40, 210, 46
_COLOURS = (
  *((92, 160, 255), (255, 176, 84), (214, 92, 92), (120, 205, 140)),
  *((186, 134, 232), (150, 156, 166), (232, 214, 110)),
)


def sheet(
  config: config_lib.Config,
  params: world_model.Params,
  windows: Mapping[str, np.ndarray],
  chosen: Sequence[int] | np.ndarray,
  path: str | pathlib.Path,
  title: str,
  labels: Sequence[str] | None = None,
) -> None:
  """Draws real, reconstructed and dreamed frames of some windows.

  Args:
    config: sizes, context and horizon.
    params: of the world model.
    windows: held-out windows `[W, context + horizon, ...]`.
    chosen: which of them.
    path: of the PNG.
    title: above everything.
    labels: what to call the real rows of each; "real" if None.
  """
  windows = {name: value[chosen] for name, value in windows.items()}
  context = config.evaluate.context
  cfg, key = config.world_model, jax.random.key(1)
  infer = cfg.infers_tokens
  steps = min(_SHEET_STEPS, config.evaluate.horizon)
  shown = range(1, steps + 1)
  seen = dreams.posterior(cfg, params, key, windows, context, infer, shown)
  dream = dreams.open_loop(
    cfg, params, key, windows, context, infer=infer, steps=shown
  )
  real = windows["frame"][:, context : context + steps]
  blocks = [
    [
      pictures.Row(labels[i] if labels else "real", real[i]),
      pictures.Row("reconstruction", seen.frame[i], real[i]),
      pictures.Row("dream", dream.frame[i], real[i]),
    ]
    for i in range(len(chosen))
  ]
  columns = [f"+{k}" for k in shown]
  pictures.save_png(pictures.contact_sheet(blocks, columns, title=title), path)


def telling_sheet(
  config: config_lib.Config,
  params: world_model.Params,
  windows: Mapping[str, np.ndarray],
  path: str | pathlib.Path,
  title: str,
) -> None:
  """Draws four windows large: what is real, what is dreamed, and what differs.

  Args:
    config: sizes, context and horizon.
    params: of the world model.
    windows: held-out windows `[W, context + horizon, ...]` to choose from.
    path: of the PNG.
    title: above everything.
  """
  context = config.evaluate.context
  chosen, labels = telling_windows(windows, context)
  windows = {name: value[chosen] for name, value in windows.items()}
  cfg = config.world_model
  most = min(_SHEET_STEPS, config.evaluate.horizon)
  dream = dreams.open_loop(
    *(cfg, params, jax.random.key(1), windows, context),
    infer=cfg.infers_tokens,
    steps=range(1, most + 1),
  )
  steps = [step for step in _TELLING_STEPS if step <= most]
  at = np.array(steps) - 1
  real = windows["frame"][:, context:][:, at]
  blocks = [
    [
      pictures.Row(label, real[i]),
      pictures.Row("dream", dream.frame[i][at], real[i]),
      pictures.Row("difference", dream.frame[i][at], real[i], True),
    ]
    for i, label in enumerate(labels)
  ]
  columns = [f"+{step}" for step in steps]
  sheet_of = pictures.contact_sheet(blocks, columns, 1.0, title)
  pictures.save_png(sheet_of, path)


def telling_windows(
  windows: Mapping[str, np.ndarray], context: int
) -> tuple[list[int], list[str]]:
  """A window each with a door, a dialog, a battle and a walk, as far as found.

  Returns:
    Their places, none twice, and what to call their real rows. Where nobody
    knows what the game is doing, four windows from first to last.
  """
  scores = _telling_scores(windows, context)
  chosen: list[int] = []
  labels = []
  for name in _TELLING:
    score = scores[name].copy()
    score[chosen] = 0.0
    best = int(score.argmax())
    if score[best] > 0:
      chosen.append(best)
      labels.append(f"{name}: real")
  if not chosen:
    count = len(windows["action"])
    few = min(len(_TELLING), count)
    chosen = np.linspace(0, count - 1, few).astype(int).tolist()
    labels = ["real"] * few
  return chosen, labels


def _telling_scores(
  windows: Mapping[str, np.ndarray], context: int
) -> dict[str, np.ndarray]:
  """How well each window shows each of `_TELLING`, `[W]`; 0 for not at all."""
  # The last seen row, and those of the dream.
  rows = {
    name: value[:, context - 1 :][:, : _SHEET_STEPS + 1]
    for name, value in windows.items()
    if value.ndim > 1
  }
  mode = modes.modes_of(rows)
  walking = mode == modes.MODES.index("overworld")
  changed = rows["map_id"][:, 1:] != rows["map_id"][:, :-1]
  by_door = changed & walking[:, 1:] & walking[:, :-1]
  step = np.arange(by_door.shape[1])
  # Best some steps ahead, so that both sides of it are seen.
  door = (by_door / (1.0 + np.abs(step - 5))).max(axis=1)
  place = rows["y"].astype(np.int64) * 256 + rows["x"]
  cells = np.array([len(np.unique(one)) for one in place])
  route = walking.all(axis=1) & ~changed.any(axis=1)
  shown = [k for k in _TELLING_STEPS if k < mode.shape[1]]
  share = lambda name: (mode == modes.MODES.index(name))[:, shown].mean(axis=1)
  return {
    "door": door,
    "dialog": share("dialog"),
    "battle": share("battle"),
    "route": route * (cells - 1.0),
  }


def windows_by_mode(
  windows: Mapping[str, np.ndarray], context: int, count: int
) -> tuple[list[int], list[str]]:
  """Windows that are in a mode from the last seen row on, or most of the time.

  Returns:
    Places of at most `count` windows of each mode, none twice, and a label of
    each; modes that no window shows are left out.
  """
  mode = modes.modes_of(windows)[:, context - 1 :][:, : _SHEET_STEPS + 1]
  chosen: list[int] = []
  labels = []
  for number, name in enumerate(modes.MODES):
    share = (mode == number).mean(axis=1)
    share[chosen] = 0.0
    best = np.argsort(-share, kind="stable")[:count]
    best = best[share[best] > 0]
    chosen += best.tolist()
    labels += [name] * len(best)
  return chosen, labels


def save_drift(result: Mapping[str, Any], path: pathlib.Path) -> None:
  """Draws the curves of a report, where it knows of places."""
  curves = result.get("curves", {}).get("tiles")
  if curves:
    title = "Distance from the recorded place in tiles; a wrong map counts 20"
    pictures.save_png(drift_chart(curves, title), path)


def drift_chart(
  curves: Mapping[str, Mapping[str, Sequence[float]]], title: str
) -> Any:
  """Lines of distance over open-loop steps, a `PIL.Image`.

  Args:
    curves: name -> `steps` and `values`, as in a report.
    title: above the chart.
  """
  from PIL import Image
  from PIL import ImageDraw
  from PIL import ImageFont

  font = ImageFont.load_default(13)
  image = Image.new("RGB", _SIZE, pictures.BACKGROUND)
  draw = ImageDraw.Draw(image)
  width = _SIZE[0] - _LEFT - _RIGHT
  height = _SIZE[1] - _TOP - _BOTTOM
  most_step = int(max(max(curve["steps"]) for curve in curves.values()))
  most = max(1.0, *(max(curve["values"]) for curve in curves.values()))
  tick = next(t for t in (0.25, 0.5, 1, 2, 5, 10, 50) if most / t <= 8)

  def place(step: float, value: float) -> tuple[float, float]:
    return (
      _LEFT + step / most_step * width,
      _TOP + (1 - value / most) * height,
    )

  draw.text((_LEFT, 10), title, pictures.TEXT, font=font)
  for number in range(int(most / tick) + 1):
    x, y = place(0, number * tick)
    draw.line((x, y, x + width, y), (52, 56, 64))
    label = f"{number * tick:g}"
    draw.text((x - 8, y), label, pictures.FAINT, font=font, anchor="rm")
  for step in range(0, most_step + 1, max(most_step // 5, 1)):
    x, y = place(step, 0)
    draw.text((x, y + 6), str(step), pictures.FAINT, font=font, anchor="ma")
  middle = _LEFT + width / 2
  draw.text(
    (middle, _SIZE[1] - 8), "open-loop steps", pictures.FAINT, font, anchor="mb"
  )
  ends = sorted(curves, key=lambda name: -curves[name]["values"][-1])
  last_y = 0.0
  for number, name in enumerate(ends):
    colour = _COLOURS[list(curves).index(name) % len(_COLOURS)]
    points = [
      place(s, v)
      for s, v in zip(
        curves[name]["steps"], curves[name]["values"], strict=True
      )
    ]
    draw.line(points, colour, width=2, joint="curve")
    # Labels at the ends of their lines, moved apart where these are close.
    y = points[-1][1] if number == 0 else max(points[-1][1], last_y + 17)
    draw.text((points[-1][0] + 8, y), name, colour, font=font, anchor="lm")
    last_y = y
  return image
