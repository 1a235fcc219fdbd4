r"""Opens a page on which a dream is played, the real game beside it.

    python -m experiments.play_dream [--port=8600]
    python -m experiments.play_dream --policy=DIR
    python -m experiments.play_dream --world_model=DIR [--data_dir=DIR]
    python -m experiments.play_dream --mode=blind --data_dir=DIR \
      --answers=FILE.json [--policy=DIR]

Without a directory the model that comes with the package is played. A policy's
run directory holds its world model; with a world model alone the person plays,
or the cartridge's demonstrator. The page shows the dream, the emulator under
the same buttons and where both differ, and keeps moments to go back to. It is
served to this machine alone unless `--host` says otherwise: who reaches the
page can play, and read nothing else. Needs aiohttp:
`pip install -r requirements-play.txt`. With `--data_dir` a session can begin at
any row of the recorded episodes there.

`--mode=blind` asks people instead which of two clips is dreamt, and writes what
they say, with intervals, to a file; the clips begin at rows of the held-out
episodes of `--data_dir`.
"""

import asyncio
from collections.abc import Callable
import dataclasses
import functools
import os
import pathlib
import signal
import socket
import sys
import threading
import time
from typing import Any

from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.runs import shipped

_MODE = cli.choice("mode", "play", ("play", "blind"), "What the page is for.")
_DATA_DIR = cli.string(
  "data_dir", None, "Records: rows to begin at, or starts (blind)."
)
_ANSWERS = cli.string("answers", None, "JSON file of the answers (blind).")
_PAIRS = cli.integer("pairs", 24, "Pairs that a person is shown (blind).")
_WORLD_MODEL = cli.string("world_model", None, "Run directory of train_rssm.")
_POLICY = cli.string(
  "policy", None, "Run directory of a policy or a clone, which may play."
)
_PORT = cli.integer("port", 8600, "Port to listen on; 0 takes a free one.")
_HOST = cli.string(
  "host", "127.0.0.1", "Address to listen on; others reach any but 127.0.0.1."
)
_NAMES = cli.repeated(
  "allow_name", "Name by which browsers may ask for the page (repeatable)."
)
_PLAYERS = cli.integer("players", 4, "Sessions at the same time, 1 to 16.")
_ROM = cli.define_rom()
_OTHER_ROM = cli.define_other_rom()
_SAVE_STATE = cli.string("save_state", None, "Start; default: power-on.")
_SEED = cli.integer("seed", 0, "Of the start and of the dream's luck.")
_MOST_PLAYERS = 16
_MOST_PAIRS = 200
_IMPROVING = "improve"  # thread


def main() -> int:
  """Looks at everything that was given, then serves until it is stopped."""
  began_s = time.monotonic()
  world_model, policy = _which()
  directory = policy or world_model
  if not 1 <= (_PLAYERS.value or 0) <= _MOST_PLAYERS:
    raise ValueError(f"--players={_PLAYERS.value}: expected 1 to 16")
  if not 0 <= (_PORT.value or 0) < 1 << 16:
    raise ValueError(f"--port={_PORT.value}: expected 0 to 65535")
  if not 0 <= (_SEED.value or 0) < 1 << 32:
    raise ValueError(f"--seed={_SEED.value}: expected 0 to {(1 << 32) - 1}")
  try:
    import aiohttp  # noqa: F401
  except ImportError:
    raise ValueError(
      "aiohttp is not installed: pip install -r requirements-play.txt"
    ) from None
  if _MODE.value == "blind":
    return _ask(directory or "")
  from data_tools.game import emulator
  from data_tools.game import roms
  from experiments.dreaming import game as game_lib

  rom = roms.resolve(_ROM.value)
  save_state = emulator.read_save_state(_SAVE_STATE.value, rom)
  records = None
  if _DATA_DIR.value:
    from experiments.dreaming import records as records_lib

    jitter = inputs.load_config(directory or "").collect.jitter_frames
    records = records_lib.open_records(
      _DATA_DIR.value, directory or "", rom, jitter
    )
    if records.left_out:
      print(f"Note: no moments of {records.left_out}", flush=True)
  # Its boot takes a second: meanwhile the model is looked at.
  spare = game_lib.Game(rom)
  try:
    from experiments.dreaming import models

    models.check(world_model, policy)
    note = inputs.check_rom(directory or "", rom, _OTHER_ROM.value)
    if note:
      print(f"Note: {note}", flush=True)
    load = functools.partial(_load, rom, save_state, spare, records)
    code = asyncio.run(_serve(load, began_s))
  finally:
    spare.close()
  if any(thread.name == _IMPROVING for thread in threading.enumerate()):
    # Compiling cannot be stopped, and ending beside it is an abort.
    sys.stdout.flush()
    os._exit(code)
  return code


def _which() -> tuple[str | None, str | None]:
  """Directories of a world model and of a policy, as far as there are any.

  Raises:
    ValueError: none is given, and no model comes with the package.
  """
  if _WORLD_MODEL.value or _POLICY.value:
    return _WORLD_MODEL.value, _POLICY.value
  if shipped.DEFAULT not in shipped.names():
    raise ValueError(
      "no model comes with this package yet: --policy=DIR or "
      "--world_model=DIR is required, such as what `python -m "
      "experiments.quickstart --workdir=runs/quickstart` trains in "
      "runs/quickstart/policy"
    )
  if run_directory.read_stage(shipped.DEFAULT) == "world_model":
    return shipped.DEFAULT, None
  return None, shipped.DEFAULT


async def _serve(load: Callable[[], Any], began_s: float) -> int:
  """Plays until a signal comes."""
  from experiments.serving import guards
  from experiments.serving import server as server_lib

  names = guards.allowed_names(_HOST.value, _NAMES.value or ())
  server = server_lib.Server(names, _PLAYERS.value)

  def opens(ready: Any) -> None:
    server.open(ready)
    # Nobody waits for it, neither who plays nor who leaves.
    improve = ready.setting.stepper.improve
    threading.Thread(target=improve, name=_IMPROVING, daemon=True).start()

  return await _until_stopped(server, load, opens, began_s)


def _ask(directory: str) -> int:
  """Asks people which clip is dreamt, until it is stopped.

  Raises:
    ValueError: flags, records or an answers' file that do not fit.
  """
  from data_tools.game import roms
  from experiments.serving import blind_answers

  began_s = time.monotonic()
  if not 4 <= (_PAIRS.value or 0) <= _MOST_PAIRS:
    raise ValueError(f"--pairs={_PAIRS.value}: expected 4 to {_MOST_PAIRS}")
  data_dir, seed = cli.required("data_dir"), _SEED.value or 0
  path = pathlib.Path(cli.required("answers"))
  inputs.check_kind(directory, agent=bool(_which()[1]))
  rom = roms.resolve(_ROM.value)
  inputs.check_rom(directory, rom, _OTHER_ROM.value)
  generation = inputs.open_generation(data_dir, pathlib.Path(directory))
  shown = {
    "model": inputs.fingerprint(directory),
    "records": generation.digest,
    "pairs": _PAIRS.value,
    "seed": seed,
  }
  answers = blind_answers.Answers(path, shown)
  load = functools.partial(_make_clips, directory, generation, rom, seed)

  async def serve() -> int:
    from experiments.serving import blind_server
    from experiments.serving import guards

    names = guards.allowed_names(_HOST.value, _NAMES.value or ())
    server = blind_server.Server(names)
    opens = lambda clips: server.open(clips, answers, seed)
    return await _until_stopped(server, load, opens, began_s)

  return asyncio.run(serve())


def _make_clips(directory: str, generation: Any, rom: Any, seed: int) -> Any:
  """Clips to ask about; in a thread of its own."""
  from experiments.playing import blind_pairs

  if _which()[1]:
    params = inputs.load_agent(directory).world_params
  else:
    params = inputs.load_world_model(directory)
  config = inputs.load_config(directory)
  # Played in this thread: processes end with the thread that began them.
  collect = dataclasses.replace(config.collect, workers=1)
  config = dataclasses.replace(config, seed=seed, collect=collect)
  return blind_pairs.make(
    *(config, params, generation, rom, _PAIRS.value),
    told=lambda part: print(f"Now {part}.", flush=True),
  )


async def _until_stopped(
  server: Any,
  load: Callable[[], Any],
  opens: Callable[[Any], None],
  began_s: float,
) -> int:
  """Listens, loads, opens with what was loaded, and waits for a signal."""
  from experiments.serving import server as server_lib

  loop = asyncio.get_running_loop()
  stopped: asyncio.Future[int] = loop.create_future()
  for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    loop.add_signal_handler(number, _stop, stopped, number)
  runner, port = await server_lib.serve(server, _HOST.value, _PORT.value)
  try:
    _print_address(port)
    loading = asyncio.ensure_future(asyncio.to_thread(load))
    await asyncio.wait({loading, stopped}, return_when="FIRST_COMPLETED")
    if not stopped.done():
      opens(loading.result())
      took_s = time.monotonic() - began_s
      print(f"Ready after {took_s:.1f} s. Ctrl-C ends it.", flush=True)
    return await stopped
  finally:
    await server.close()
    await runner.cleanup()


def _stop(stopped: asyncio.Future, number: int) -> None:
  if not stopped.done():
    stopped.set_result(128 + number)


def _print_address(port: int) -> None:
  from experiments.serving import guards

  host = _HOST.value
  shown = f"[{host}]" if ":" in host else host
  print(f"http://{shown}:{port}/", flush=True)
  if guards.is_loopback(host):
    print(
      "From another machine: "
      f"ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}",
      flush=True,
    )
  else:
    print(
      f"Note: --host={host}: whoever reaches this machine can play.", flush=True
    )


def _load(rom: Any, save_state: bytes | None, spare: Any, records: Any) -> Any:
  """Everything that sessions share; in a thread of its own."""
  from data_tools.game import start_states
  from experiments.dreaming import beliefs
  from experiments.dreaming import game as game_lib
  from experiments.dreaming import goals
  from experiments.dreaming import models
  from experiments.dreaming import world_map
  from experiments.serving import batching
  from experiments.serving import driver
  from experiments.serving import server as server_lib

  model = models.load(*_which())
  stepper = models.Stepper(model, _PLAYERS.value)
  stepper.warm_up()
  seed = _SEED.value or 0
  jitter_frames = model.config.collect.jitter_frames if seed else 0
  setting = driver.Setting(
    stepper=stepper,
    batcher=batching.Batcher(stepper),
    reader=beliefs.Reader(model, rom),
    rom=rom,
    start=game_lib.Start(_SAVE_STATE.value or "", seed, jitter_frames),
    make_game=functools.partial(_make_game, rom, [spare]),
    goals=goals.of(model, rom),
    demonstrates=game_lib.demonstrates(rom),
    save_state=save_state,
    records=records,
  )
  return server_lib.Ready(
    setting, world_map.draw(model, rom), tuple(start_states.names(rom.sha1))
  )


def _make_game(rom: Any, spares: list[Any]) -> Any:
  from experiments.dreaming import game as game_lib

  return spares.pop() if spares else game_lib.Game(rom)


if __name__ == "__main__":
  cli.run_main(main)
