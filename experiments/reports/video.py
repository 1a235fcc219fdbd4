"""Clips: two streams of frames side by side, as MP4 or animated WebP.

MP4 (H.264) comes from PyAV in this process; no `ffmpeg` program is needed.
Where the encoder is missing the clip is written as animated WebP instead.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import pathlib
from typing import Any

import numpy as np

from data_tools.game import frame_codec
from experiments.reports import pictures
from pokedreamer_jax import specs

CODEC = "libx264"
DEFAULT_FPS = 6
_HEAD = 32  # pixels above the frames, for the labels
_FOOT = 28  # pixels below, for the caption
_STRIP = 14  # pixels of them more where the steps have colours
_GAP = 16  # pixels around the frames


def have_codec() -> bool:
  """Whether H.264 can be written here."""
  try:
    import av

    av.codec.Codec(CODEC, "w")
    return True
  except Exception:  # av raises its own classes, or is not installed
    return False


def canvas(
  panels: int, scale: int, strip: bool = False
) -> tuple[tuple[int, int], list[tuple[int, int]]]:
  """`(width, height)` of a clip and the top left corner of every panel."""
  width, height = specs.FRAME_WIDTH * scale, specs.FRAME_HEIGHT * scale
  corners = [(_GAP + i * (width + _GAP), _HEAD) for i in range(panels)]
  foot = _FOOT + strip * _STRIP
  return (_GAP + panels * (width + _GAP), _HEAD + height + foot), corners


def side_by_side(
  streams: Sequence[np.ndarray],
  labels: Sequence[str],
  captions: Sequence[str] | None = None,
  scale: int = 2,
  colours: Sequence[tuple[int, int, int]] | None = None,
) -> Iterator[np.ndarray]:
  """Composes streams of equal length beside each other.

  Args:
    streams: packed frames, each `[T, 144, 40]` uint8.
    labels: one per stream, shown above it.
    captions: one line per step, shown below.
    scale: whole-number enlargement, nearest neighbour.
    colours: of each step, RGB: a strip of all steps below the frames, on which
      the present one is marked.

  Yields:
    `T` pictures `[height, width, 3]` uint8, sides even.

  Raises:
    ValueError: streams of different lengths.
  """
  lengths = [len(stream) for stream in streams]
  if len(set(lengths)) != 1:
    raise ValueError(f"streams: lengths {lengths}, expected equal ones")
  from PIL import Image
  from PIL import ImageDraw
  from PIL import ImageFont

  size, corners = canvas(len(streams), scale, colours is not None)
  head = Image.new("RGB", size, pictures.BACKGROUND)
  font = ImageFont.load_default(16)
  for label, (x, _) in zip(labels, corners, strict=True):
    ImageDraw.Draw(head).text((x, 7), label, pictures.TEXT, font=font)
  top = corners[0][1] + specs.FRAME_HEIGHT * scale + 5
  edges = np.linspace(_GAP, size[0] - _GAP, lengths[0] + 1).round().astype(int)
  for t, colour in enumerate(colours or ()):
    box = (edges[t], top, max(edges[t], edges[t + 1] - 2), top + 7)
    ImageDraw.Draw(head).rectangle(box, fill=colour)
  for t in range(lengths[0]):
    picture = head.copy()
    for stream, corner in zip(streams, corners, strict=True):
      grey = frame_codec.unpack_grey(stream[t]).repeat(scale, 0)
      picture.paste(Image.fromarray(grey.repeat(scale, 1)), corner)
    if captions is not None:
      place = (_GAP, size[1] - _FOOT + 5)
      draw = ImageDraw.Draw(picture)
      told = pictures.FAINT if colours is None else colours[t]
      draw.text(place, captions[t], told, font=font)
    if colours is not None:
      box = (edges[t] - 1, top - 3, edges[t + 1], top + 10)
      ImageDraw.Draw(picture).rectangle(box, outline=pictures.TEXT)
    yield np.asarray(picture)


def check_path(path: str | pathlib.Path) -> pathlib.Path:
  """The path of a clip, to be looked at before it is played.

  Raises:
    ValueError: its ending is none of a clip.
  """
  path = pathlib.Path(path)
  if path.suffix not in (".mp4", ".webp"):
    raise ValueError(f"{path}: clips end in .mp4 or .webp")
  return path


def write(
  path: str | pathlib.Path,
  frames: Iterable[np.ndarray],
  fps: int = DEFAULT_FPS,
  crf: int = 18,
) -> pathlib.Path:
  """Writes a clip whole or not at all.

  Args:
    path: `.mp4` or `.webp`; an `.mp4` becomes `.webp` without the encoder.
    frames: pictures `[height, width, 3]` uint8, sides even.
    fps: pictures per second.
    crf: of an `.mp4`, how much may be lost; 18 hardly shows, 26 is half as
      large.

  Returns:
    The path written.

  Raises:
    ValueError: another ending, or no frames.
  """
  path = check_path(path)
  if path.suffix == ".mp4" and not have_codec():
    path = path.with_suffix(".webp")
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
  try:
    if path.suffix == ".mp4":
      _write_mp4(temporary, iter(frames), fps, crf)
    else:
      _write_webp(temporary, iter(frames), fps)
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)
  return path


def read(path: str | pathlib.Path) -> np.ndarray:
  """The pictures `[T, height, width, 3]` uint8 of a clip."""
  path = pathlib.Path(path)
  if path.suffix == ".webp":
    from PIL import Image
    from PIL import ImageSequence

    with Image.open(path) as image:
      return np.stack(
        [
          np.asarray(frame.convert("RGB"))
          for frame in ImageSequence.Iterator(image)
        ]
      )
  import av

  with av.open(str(path)) as container:
    return np.stack(
      [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    )


def _write_mp4(
  path: pathlib.Path, frames: Iterator[np.ndarray], fps: int, crf: int
):
  import av

  first = _first(path, frames)
  with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
    stream: Any = container.add_stream(CODEC, rate=fps)
    stream.height, stream.width = first.shape[:2]
    stream.pix_fmt = "yuv420p"  # what browsers play
    stream.options = {
      **{"crf": str(crf), "preset": "veryfast"},
      "threads": "1",
    }
    for picture in (first, *frames):
      frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
      container.mux(stream.encode(frame))
    container.mux(stream.encode())


def _write_webp(path: pathlib.Path, frames: Iterator[np.ndarray], fps: int):
  from PIL import Image

  images = [Image.fromarray(_first(path, frames))]
  images += [Image.fromarray(picture) for picture in frames]
  images[0].save(
    path,
    "WEBP",
    save_all=True,
    append_images=images[1:],
    duration=round(1000 / fps),
    loop=0,
    lossless=True,
    method=3,
  )


def _first(path: pathlib.Path, frames: Iterator[np.ndarray]) -> np.ndarray:
  first = next(frames, None)
  if first is None:
    raise ValueError(f"{path}: a clip needs at least one frame")
  return first
