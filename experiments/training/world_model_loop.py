"""The training run of a world model: state, checkpoints, and the loop."""

from collections.abc import Callable
import contextlib
import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from data_tools.records import generations
from data_tools.records import loader
from experiments.runs import distributed
from experiments.runs import inputs
from experiments.runs import progress
from experiments.runs import run_directory
from experiments.runs import shared_run
from experiments.training import atlas_data
from experiments.training import loss_guard
from experiments.training import stage_loop
from experiments.training import validation
from experiments.training import world_model_data
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.training import mesh as meshes
from pokedreamer_jax.training import world_model as training
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import widening

PROFILE_DIR = "profile"  # of `--profile_steps`, in the run directory

_TITLE = "world model"
_COMPILE_S = 25  # on two CPU cores
_EVALUATE_S = 20
_PROFILE_AFTER = 5  # updates: the first ones compile and fill buffers


class Trainer:
  """One run, from its last checkpoint to `config.train.steps`."""

  def __init__(
    self,
    config: config_lib.Config,
    generation: generations.Generation,
    run: run_directory.Run,
    profile_steps: int = 0,
    group: distributed.Group | None = None,
    begin_from: str | None = None,
  ):
    """Builds the parts and restores the last checkpoint.

    Args:
      config: of the run.
      generation: the one that the run directory records.
      run: directory of the run.
      profile_steps: updates of which a profiler trace is written.
      group: the processes that train together; None for this one alone.
      begin_from: run directory of a world model whose parameters are the
        first ones; None for fresh ones.

    Raises:
      ValueError: the recorded data has changed, or holds no window; the model
        to begin with is another one.
    """
    self._config = config
    self._run = run
    self._group = group or distributed.Group()
    self._profile_steps = profile_steps if self._group.first else 0
    self._data = world_model_data.Experience(config, generation, run)
    self._epoch = self._data.source.batches_per_epoch
    self._validator = validation.Validator(config, generation)
    self._mesh = meshes.make(config.train)
    self._store = run.checkpoints(
      keep=2,
      best=inputs.VALIDATION_LOSS,
      best_is_high=False,
      keep_every=self._epoch if config.train.keep_every_epoch else 0,
    )
    self._survey: atlas_data.Survey | None = None
    self._state: training.TrainState
    self._step = self._restore(generation, begin_from)
    # Read now: the parameters are donated to the update.
    self._table = _table(self._mesh, self._state.params)

  def train(self) -> dict[str, float]:
    """Trains to the end; what is saved last is validated.

    Returns:
      The last validation.

    Raises:
      run_directory.Stopped: asked to stop, after saving.
      run_directory.Failed: a loss is not finite.
    """
    train, run = self._config.train, self._run
    frames = train.batch_size * train.seq_len
    update = meshes.jit_update(self._mesh, self._config, self._state)
    run_key = jax.random.key(self._config.seed)
    batches = self._data.batches(self._step, self._table, self._grow)
    alone = self._group.count == 1
    stop = shared_run.Stop(
      run, None if alone else meshes.make_largest(self._mesh)
    )
    guard = loss_guard.LossGuard(run)
    validated: dict[str, float] = {}
    with contextlib.ExitStack() as stack:
      loop = stack.enter_context(
        stage_loop.Loop(
          *(run, self._store, _TITLE, train.steps, self._step),
          *(train.log_every, train.save_every, _COMPILE_S, frames),
        )
      )
      profile = stack.enter_context(
        _Profile(run, self._step, self._profile_steps)
      )
      while loop.going:
        batch = meshes.place_batch(self._mesh, next(batches))
        self._state, metrics = update(self._state, batch, run_key)
        due = loop.after(asked=stop.signal())
        self._step = step = loop.step
        profile.after(step, metrics)
        guard.add(step, metrics)
        # Also where it stops: a validation left out is not made up for.
        evaluating = due.last or step % self._eval_every == 0
        saving = due.save or evaluating or self._is_kept(step)
        if due.log or saving:
          values = guard.look()
        if due.log:
          loop.tell(values, **_shown(values, loop.bar.rate() * frames))
        if evaluating:
          validated = self._validate(loop.bar)
          loop.bar.update(step)
        if saving:
          self._save(validated if evaluating else None)
        loop.leave_if(due)
    self._store.close()
    return validated or self._measure(self._validator.measure)

  @functools.cached_property
  def _eval_every(self) -> int:
    return self._config.train.eval_every or self._epoch

  def _is_kept(self, step: int) -> bool:
    return self._config.train.keep_every_epoch and step % self._epoch == 0

  def _validate(self, bar: progress.Progress) -> dict[str, float]:
    bar.phase("evaluating", about_s=_EVALUATE_S)

    def validate(params):
      values = self._validator.measure(params)
      self._run.metrics(self._step, values)
      self._validator.draw(params, self._step, self._run)
      return values

    values = self._measure(validate)
    self._run.check_finite(self._step, values)
    return values

  def _measure(
    self, function: Callable[[world_model.Params], dict[str, float]]
  ) -> dict[str, float]:
    """What `function` finds in process 0, where it alone is called."""
    params = meshes.local(self._mesh, self._state.params)
    return self._group.share(f"measured/{self._step}", lambda: function(params))

  def _save(self, validated: dict[str, float] | None) -> None:
    self._store.save(
      self._step,
      {"params": self._state.params, "opt": _opt(self._state)},
      {"step": self._step, "source": self._data.fingerprint(self._step)},
      validated,
    )

  def _restore(
    self, generation: generations.Generation, begin_from: str | None
  ) -> int:
    """Begins, or goes to the update that the last checkpoint was saved at."""
    latest = self._group.share("latest", self._store.latest_step)
    if latest is None:
      first = (self._config, generation, self._run)
      if begin_from is None:
        params, survey = _init_params(*first)
      else:
        params, survey = _taken_params(*first, begin_from)
      if self._config.train.refresh_every:  # else no more will be counted
        self._survey = survey
      state = training.init_state(self._config.train, params)
      self._state = meshes.place_state(self._mesh, state)
      return 0
    # Dictionary and atlas come with it: nothing is counted, nor initialised.
    template = meshes.shapes_on(self._mesh, _shapes(self._config))
    found = stage_loop.restore(
      self._run,
      self._store,
      _TITLE,
      {"params": template.params, "opt": _opt(template)},
      latest,
    )
    assert found is not None
    items, loop = found
    self._state = training.TrainState(
      items["params"], items["opt"]["opt_state"], items["opt"]["step"]
    )
    step = int(loop["step"])
    self._data.resume(step)
    if loop["source"] != self._data.fingerprint(step):
      raise ValueError(f"{self._run.path}: the recorded data has changed")
    return step

  def _grow(self) -> None:
    """Adds to the atlas what a generation shows that was just adopted.

    Shapes and places of the arrays stay, so that the update is not traced
    again, and what a cell's number stands for stays too: the optimiser's
    moments remain those of the same cells.
    """
    params, cfg = self._state.params, self._config.world_model
    if not cfg.has_atlas:
      return
    if self._survey is None:  # resumed
      assert self._table is not None
      maps = self._config.train.left_out_maps
      self._survey = atlas_data.Survey(cfg, self._table, self._run, maps)
    held = meshes.local(self._mesh, params["atlas"])
    grown = self._survey.grown(atlas_lib.Atlas(**held), self._data.history)
    placed = meshes.place_state(self._mesh, atlas_lib.leaves(grown))
    self._state = dataclasses.replace(
      self._state, params={**params, "atlas": placed}
    )


def _shown(values: dict[str, float], frames_s: float) -> dict[str, float]:
  """What stands beside the bar."""
  shown = {name: values[f"loss/{name}"] for name in ("total", "image", "kl")}
  shown = {"loss": shown.pop("total"), **shown}
  return {**shown, "frames/s": frames_s} if frames_s else shown


class _Profile:
  """Traces some updates with the profiler of jax, after the first few."""

  def __init__(self, run: run_directory.Run, start: int, count: int):
    self._run = run
    self._begin = start + _PROFILE_AFTER if count else None
    self._end = start + _PROFILE_AFTER + count
    self._tracing = False

  def __enter__(self) -> "_Profile":
    return self

  def after(self, step: int, metrics: Any) -> None:
    """Tells that an update has been started; `metrics` are its results."""
    if step == self._begin:
      jax.block_until_ready(metrics)
      jax.profiler.start_trace(str(self._run.path / PROFILE_DIR))
      self._tracing = True
    elif self._tracing and step == self._end:
      jax.block_until_ready(metrics)
      self._stop()

  def __exit__(self, *error: object) -> None:
    if self._tracing:  # the run was shorter
      self._stop()

  def _stop(self) -> None:
    jax.profiler.stop_trace()
    self._tracing = False
    self._run.log(f"profile: {self._run.path / PROFILE_DIR}")


def _opt(state: training.TrainState) -> dict[str, Any]:
  return {"opt_state": state.opt_state, "step": state.step}


def _table(
  mesh: jax.sharding.Mesh, params: world_model.Params
) -> tiles.TileTable | None:
  """A copy of the dictionary on the host."""
  if "tiles" not in params:
    return None
  kept = meshes.local(mesh, {"tiles": params["tiles"]})
  return jax.tree.map(np.array, world_model.tile_table(kept))


def _shapes(config: config_lib.Config) -> training.TrainState:
  return jax.eval_shape(
    functools.partial(training.init_state, config.train),
    world_model.shapes(config.world_model),
  )


def _init_params(
  config: config_lib.Config,
  generation: generations.Generation,
  run: run_directory.Run,
) -> tuple[world_model.Params, atlas_data.Survey | None]:
  """Fresh parameters, and the votes that their atlas is made of."""
  cfg = config.world_model
  table = atlas = survey = None
  if cfg.has_dictionary:
    index = loader.EpisodeIndex(
      generation,
      "train",
      cache_bytes=0,
      leave_out_maps=config.train.left_out_maps,
    )
    frames = (rows["frame"] for rows in index.kept(["frame"]))
    table = tiles.build(frames, cfg.tile_vocab)
    if cfg.has_atlas:
      survey = atlas_data.Survey(cfg, table, run, config.train.left_out_maps)
      atlas = survey.grown(atlas_lib.empty(cfg), [generation.path])
  key = jax.random.fold_in(jax.random.key(config.seed), 1)
  return world_model.init(cfg, key, table, atlas), survey


def _taken_params(
  config: config_lib.Config,
  generation: generations.Generation,
  run: run_directory.Run,
  begin_from: str,
) -> tuple[world_model.Params, atlas_data.Survey | None]:
  """A trained model's parameters; the atlas learns what this data adds.

  The dictionary stays, since parameters are about its tiles.
  """
  cfg = config.world_model
  trained = inputs.load_config(begin_from).world_model
  widening.check(trained, cfg)
  taken = inputs.load_world_model(begin_from)
  params = widening.widen(trained, cfg, taken)
  run.log(f"world model: begins with the parameters of {begin_from}")
  if not cfg.has_atlas:
    return params, None
  table = jax.tree.map(np.array, world_model.tile_table(params))
  survey = atlas_data.Survey(cfg, table, run, config.train.left_out_maps)
  grown = survey.grown(atlas_lib.Atlas(**params["atlas"]), [generation.path])
  return {**params, "atlas": atlas_lib.leaves(grown)}, survey
