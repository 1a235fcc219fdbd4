import json
import os
import pickle
import zipfile

import gymnasium
import numpy as np
import pytest

from data_tools.foreign import sb3_policy
from data_tools.game import frame_codec
from tests.data_tools.foreign import torch_fakes as fakes


def _frames(count, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (count, 144, 40)).astype(np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
  path = tmp_path_factory.mktemp("policy") / "policy.zip"
  return sb3_policy.read(fakes.policy_file(path, fakes.policy_arrays()))


def _slow_logits(arrays, observation):
  """One observation `[H, W, 3]`, convolved pixel by pixel."""
  x = observation.transpose(2, 0, 1) / 255.0
  for i, stride in ((0, 4), (2, 2), (4, 1)):
    kernel = arrays[f"features_extractor.cnn.{i}.weight"].astype(float)
    bias = arrays[f"features_extractor.cnn.{i}.bias"]
    h, w = kernel.shape[2:]
    rows = range(0, x.shape[1] - h + 1, stride)
    columns = range(0, x.shape[2] - w + 1, stride)
    y = [
      [[(x[:, r : r + h, c : c + w] * k).sum() for c in columns] for r in rows]
      for k in kernel
    ]
    x = np.maximum(np.array(y) + bias[:, None, None], 0)
  x = x.reshape(-1)
  for key in ("features_extractor.linear.0", "action_net"):
    x = arrays[f"{key}.weight"] @ x + arrays[f"{key}.bias"]
    x = x if key == "action_net" else np.maximum(x, 0)
  return x


def test_the_network_is_what_its_layers_say(weights):
  rng = np.random.default_rng(1)
  observations = rng.integers(0, 256, (2, 128, 40, 3)).astype(np.uint8)
  found = sb3_policy.action_logits(weights, observations)
  for logits, observation in zip(found, observations, strict=True):
    expected = _slow_logits(fakes.policy_arrays(), observation)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
@pytest.mark.parametrize(
  "prefix", ["features_extractor", "pi_features_extractor"]
)
def test_sizes_come_from_the_arrays(tmp_path, frames, prefix):
  arrays = fakes.policy_arrays(frames, 6, prefix)
  read = sb3_policy.read(fakes.policy_file(tmp_path / "p.zip", arrays))
  assert (read.num_frames, read.num_actions) == (frames, 6)
  player = sb3_policy.Player(read, 2)
  observed = player.observe(_frames(2), np.ones(2, bool))
  assert observed.shape == (2, 20 + 36 * frames, 40, 3)
  assert player.act(_frames(2), np.zeros(2, bool)).max() < 6


def test_frames_shrink_to_rounded_means():
  shades = np.zeros((1, 144, 160), np.uint8)
  shades[0, :4, :4] = 3  # black
  shades[0, :4, 4:6] = 3  # half black: 127.5 -> 128, half to even
  shades[0, 4:8, :4] = np.arange(16).reshape(4, 4) % 4
  small = sb3_policy.shrink(frame_codec.pack_shades(shades))
  assert small.shape == (1, 36, 40)
  # (255 + 153 + 85 + 0) / 4 = 123.25
  assert small[0, :2, :3].tolist() == [[0, 128, 255], [123, 255, 255]]
  assert (small[0, 2:] == 255).all()


def test_the_newest_frame_stands_first_below_the_bars(weights):
  player = sb3_policy.Player(weights, 1)
  frames = _frames(5)
  for t, frame in enumerate(frames):
    observed = player.observe(frame[None], np.array([t == 0]))
  assert (observed[0, :20] == 0).all()
  for age in range(3):
    rows = observed[0, 20 + 36 * age : 56 + 36 * age]
    expected = sb3_policy.shrink(frames[4 - age : 5 - age])[0]
    for channel in range(3):
      np.testing.assert_array_equal(rows[..., channel], expected)


def test_a_stream_alone_acts_as_in_a_batch_and_forgets_when_it_begins(weights):
  steps, streams = 9, 3
  frames = _frames(steps * streams).reshape(steps, streams, 144, 40)
  is_first = np.zeros((steps, streams), bool)
  is_first[0] = is_first[4, 1] = True
  together = sb3_policy.Player(weights, streams)
  batch = [
    together.observe(f, i) for f, i in zip(frames, is_first, strict=True)
  ]
  for stream in range(streams):
    alone = sb3_policy.Player(weights, 1)
    for t in range(steps):
      observed = alone.observe(
        frames[t, stream : stream + 1], is_first[t, stream : stream + 1]
      )
      np.testing.assert_array_equal(batch[t][stream], observed[0])
  fresh = sb3_policy.Player(weights, 1)
  for t in range(4, steps):
    observed = fresh.observe(frames[t, 1:2], np.array([t == 4]))
    np.testing.assert_array_equal(batch[t][1], observed[0])
  assert (batch[4][1, 56:] == 0).all() and (batch[4][0, 56:] != 0).any()


def test_actions_are_drawn_as_often_as_the_policy_says(weights):
  frame = _frames(1)
  logits = sb3_policy.action_logits(
    weights, sb3_policy.Player(weights, 1).observe(frame, np.ones(1, bool))
  )[0]
  odds = np.exp(logits - logits.max())
  odds /= odds.sum()
  count = 2000
  player = sb3_policy.Player(weights, count)
  frames = np.repeat(frame, count, axis=0)
  uniforms = (np.arange(count) + 0.5) / count  # evenly spread
  drawn = player.act(frames, np.ones(count, bool), uniforms)
  found = np.bincount(drawn, minlength=8) / count
  np.testing.assert_allclose(found, odds, atol=1.01 / count)
  likely = player.act(frames[:count], np.ones(count, bool))
  assert set(likely) == {int(np.argmax(odds))}
  last = player.act(frames, np.ones(count, bool), np.full(count, 1 - 1e-16))
  assert last.max() < 8


def _write(path, **changes):
  arrays = fakes.policy_arrays()
  for key, change in changes.items():
    key = key.replace("__", ".")
    arrays[key] = change(arrays[key])
  return fakes.policy_file(path, arrays)


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"action_net__weight": lambda a: a[:, :-1].copy()}, "layers take"),
    ({"action_net__bias": lambda a: a[:-1].copy()}, "no layer action_net"),
    ({"action_net__bias": lambda a: a * np.float32(np.nan)}, "not finite"),
    ({"action_net__bias": lambda a: a.astype(np.int64)}, "no layer action_net"),
    ({"features_extractor__linear__0__weight": lambda a: a[:, 1:].copy()},
     "features fit no observation"),
    # Not finite as float32; wide enough to fill the memory; without pixels.
    ({"action_net__bias": lambda a: a.astype(float) + 1e200}, "not finite"),
    ({"features_extractor__cnn__0__weight": lambda a: np.zeros((1025, 3, 1, 1)),
      "features_extractor__cnn__0__bias": lambda a: np.zeros(1025)},
     "shape .1025, 3, 1, 1., expected 1 to 1024"),
    ({"features_extractor__cnn__0__weight": lambda a: a[:, :, :0].copy()},
     "shape .4, 3, 0, 8., expected"),
  ],
)  # fmt: skip
def test_another_network_is_refused(tmp_path, changes, message):
  path = _write(tmp_path / "other.zip", **changes)
  with pytest.raises(ValueError, match=rf"policy other\.zip: .*{message}"):
    sb3_policy.read(path)


def test_other_policies_are_refused(tmp_path):
  path = tmp_path / "p.zip"
  arrays = fakes.policy_arrays(num_actions=9)
  with pytest.raises(ValueError, match="at most 8 actions"):
    sb3_policy.read(fakes.policy_file(path, arrays))
  arrays = fakes.policy_arrays()
  arrays["mlp_extractor.policy_net.0.weight"] = arrays["action_net.weight"]
  with pytest.raises(ValueError, match="layers after"):
    sb3_policy.read(fakes.policy_file(path, arrays))
  with pytest.raises(ValueError, match="'data'"):
    sb3_policy.read(fakes.policy_file(path, fakes.policy_arrays(), "[1]"))
  with pytest.raises(ValueError, match="No such file"):
    sb3_policy.read(tmp_path / "absent.zip")
  for absent in ("data", "policy.pth", "_stable_baselines3_version"):
    _repack(fakes.policy_file(path, fakes.policy_arrays()), {absent: None})
    with pytest.raises(ValueError, match=rf"p\.zip: no entry '{absent}'"):
      sb3_policy.read(path)


def _repack(path, changes, method=zipfile.ZIP_STORED):
  """Other contents of some entries; None takes one away."""
  with zipfile.ZipFile(path) as old:
    entries = {name: old.read(name) for name in old.namelist()} | changes
  with zipfile.ZipFile(path, "w", method) as new:
    for name, content in entries.items():
      if content is not None:
        new.writestr(name, content)


def _kwargs(**given):
  """Arguments as the library writes them: as JSON where it can."""
  return {"policy_kwargs": fakes.serialized(given)}


class _Adam:
  pass


_ABSENT = object()


_PICTURES = (3, 128, 40)
_RELU = fakes.named("torch.nn.modules.activation", "ReLU")
_CNN = fakes.named("stable_baselines3.common.torch_layers", "NatureCNN")


@pytest.mark.parametrize(
  "changes, message",
  [
    # Not divided by 255: plain, and beside things that JSON cannot hold.
    ({"policy_kwargs": {"normalize_images": False}},
     "policy_kwargs: normalize_images: False, expected True"),
    (_kwargs(normalize_images=False, optimizer_class=_Adam),
     "normalize_images: False, expected True"),
    (_kwargs(normalize_images=0, optimizer_class=_Adam), "normalize_images"),
    # Other networks, whose arrays may look the same.
    (_kwargs(features_extractor_class=_Adam),
     "features_extractor_class: '.*_Adam', expected NatureCNN"),
    ({"policy_kwargs": fakes.serialized(
      b"\x80\x04}" + fakes.text("features_extractor_class")
      + fakes.name("cloudpickle", "_make_skeleton_class")
      + pickle.EMPTY_TUPLE + pickle.REDUCE + pickle.SETITEM + pickle.STOP)},
     "features_extractor_class: a call of 'cloudpickle._make"),
    (_kwargs(activation_fn=_Adam), "activation_fn: .*expected a class of"),
    ({"policy_kwargs": {"net_arch": [64]}}, "net_arch: a list, expected no"),
    ({"policy_kwargs": {"net_arch": {"pi": [64], "vf": []}}}, "net_arch"),
    ({"policy_kwargs": {"net_arch": {"shared": [64]}}}, "net_arch"),
    ({"policy_kwargs": {"features_extractor_kwargs": {"stride": 2}}},
     "features_extractor_kwargs: a dictionary, expected features_dim alone"),
    ({"policy_kwargs": {"squash_output": True}}, "squash_output: True"),
    ({"policy_kwargs": {"use_sde": True}}, "use_sde: True"),
    ({"policy_kwargs": {"temperature": 2}},
     "policy_kwargs: 'temperature': not a known setting"),
    ({"policy_kwargs": None}, "policy_kwargs: None, expected a dict"),
    ({"policy_kwargs": fakes.serialized(b"\x80\x04nonsense")}, "damaged"),
    ({"policy_kwargs": {":serialized:": "?"}}, "policy_kwargs: damaged"),
    ({"policy_kwargs": {":serialized:": 3}}, "policy_kwargs: damaged"),
    ({"use_sde": True}, "use_sde: True, expected False"),
    ({"use_sde": 0}, "use_sde: a whole number, expected False"),
    ({"policy_class": fakes.serialized(
      fakes.named("sb3_contrib.ppo_recurrent", "RecurrentPolicy"))},
     "policy_class: 'sb3_contrib.ppo_recurrent.RecurrentPolicy', expected Cnn"),
    ({"policy_class": "CnnPolicy"}, "policy_class: 'CnnPolicy', expected"),
    # Methods of the object that would choose: the library would set them.
    ({"predict": fakes.serialized(_Adam)}, "'predict': not a known setting"),
    ({"\x1b[2J": 1}, "not a known setting"),
    # Spaces that are not divided by 255, or are of another picture.
    *(({"observation_space": fakes.serialized(space)}, "observation_space: .*"
       + expected) for space, expected in (
      (gymnasium.spaces.Box(0, 254, _PICTURES, np.uint8), "from 0 to 255"),
      (gymnasium.spaces.Box(1, 255, _PICTURES, np.uint8), "from 0 to 255"),
      (gymnasium.spaces.Box(0, 255, _PICTURES, np.float32), "from 0 to 255"),
      (gymnasium.spaces.Box(0, 255, (128, 40), np.uint8), "from 0 to 255"),
      (gymnasium.spaces.MultiBinary(3), "MultiBinary', expected a Box"),
      (gymnasium.spaces.Box(0, 255, (3, 164, 40), np.uint8),
       r"\(3, 164, 40\), where the arrays tell \(3, 128, 40\)"),
      (gymnasium.spaces.Box(0, 255, (128, 40, 3), np.uint8), "arrays tell"),
    )),
    *(({"action_space": fakes.serialized(space)}, "action_space: .*"
       + expected) for space, expected in (
      (gymnasium.spaces.Discrete(8, start=1), "counts from 0"),
      (gymnasium.spaces.MultiDiscrete([8]), "MultiDiscrete', expected a Dis"),
      (gymnasium.spaces.Discrete(7), "7, where the arrays tell 8"),
    )),
    *((dict.fromkeys([key], _ABSENT), f"{key}: missing") for key in (
      "policy_class", "policy_kwargs", "observation_space", "action_space",
      "use_sde")),
  ],
)  # fmt: skip
def test_a_setting_that_is_not_known_is_refused_by_its_name(
  tmp_path, changes, message
):
  settings = fakes.policy_settings() | changes
  data = json.dumps({k: v for k, v in settings.items() if v is not _ABSENT})
  path = fakes.policy_file(tmp_path / "p.zip", fakes.policy_arrays(), data)
  with pytest.raises(
    ValueError, match=rf"^policy p\.zip: .*{message}"
  ) as error:
    sb3_policy.read(path)
  assert str(error.value).isprintable() and len(str(error.value)) < 300


@pytest.mark.parametrize(
  "kwargs",
  [
    _kwargs(optimizer_class=_Adam, optimizer_kwargs={"eps": 1e-5}),
    _kwargs(normalize_images=True, net_arch=[{"pi": [], "vf": [64]}]),
    {"policy_kwargs": {"net_arch": [], "share_features_extractor": False}},
    {"policy_kwargs": {"net_arch": {"vf": [64]}, "ortho_init": False}},
    {"policy_kwargs": {"features_extractor_kwargs": {"features_dim": 16}}},
    *(
      {"policy_kwargs": fakes.serialized(
        b"\x80\x04}" + fakes.text(key) + named[2:-1] + b"s.")}
      for key, named in (
        ("activation_fn", _RELU), ("features_extractor_class", _CNN))
    ),
  ],
)  # fmt: skip
def test_settings_that_change_nothing_are_accepted(tmp_path, weights, kwargs):
  data = json.dumps(fakes.policy_settings() | kwargs)
  path = fakes.policy_file(tmp_path / "p.zip", fakes.policy_arrays(), data)
  read = sb3_policy.read(path)
  for found, expected in zip(
    (*read.convolutions, read.linear, read.action),
    (*weights.convolutions, weights.linear, weights.action),
    strict=True,
  ):
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("version", ["", "3.0.0", "0.9.0", "2", "x", "2.0\x1b"])
def test_other_versions_of_the_library_are_refused(tmp_path, version):
  path = tmp_path / "p.zip"
  for known in ("1.8.0", "2.0.0a5", "2.9.2\n"):
    sb3_policy.read(
      fakes.policy_file(path, fakes.policy_arrays(), version=known)
    )
  fakes.policy_file(path, fakes.policy_arrays(), version=version)
  with pytest.raises(ValueError, match="baselines3_version: ") as e:
    sb3_policy.read(path)
  assert str(e.value).isprintable()


@pytest.mark.parametrize(
  "key, message",
  [
    ("features_extractor.cnn.6.weight", "not a known array"),
    ("features_extractor.cnn.1.running_mean", "not a known array"),
    ("mlp_extractor.shared_net.0.weight", "not a known array"),
    ("log_std", "not a known array"),
    ("pi_features_extractor.cnn.0.bias", "expected the same"),
  ],
)
def test_an_array_that_is_not_known_is_refused_by_its_name(
  tmp_path, key, message
):
  path, arrays = tmp_path / "p.zip", fakes.policy_arrays()
  arrays["mlp_extractor.value_net.0.weight"] = np.ones((2, 2), np.float32)
  assert sb3_policy.read(fakes.policy_file(path, arrays)).num_actions == 8
  arrays[key] = np.ones(4, np.float32)
  with pytest.raises(ValueError, match=rf"p\.zip: .*{key}.*{message}"):
    sb3_policy.read(fakes.policy_file(path, arrays))


def test_more_networks_in_the_archive_are_refused(tmp_path):
  path = fakes.policy_file(tmp_path / "p.zip", fakes.policy_arrays())
  _repack(path, {"system_info.txt": b"- OS", "policy.optimizer.pth": b""})
  assert sb3_policy.read(path).num_actions == 8
  _repack(path, {"other.pth": b""})
  with pytest.raises(ValueError, match=r"p\.zip: 'other.pth': not a known"):
    sb3_policy.read(path)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
  os.mkfifo(tmp_path / "p.zip")
  for path in (tmp_path / "p.zip", tmp_path, "/dev/zero"):
    with pytest.raises(ValueError, match="no regular file"):
      sb3_policy.read(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_policy_may_be_deflated_and_packed_in_no_other_way(tmp_path, method):
  path = fakes.policy_file(tmp_path / "p.zip", fakes.policy_arrays())
  _repack(path, {}, method)
  if method == zipfile.ZIP_DEFLATED:
    assert sb3_policy.read(path).num_actions == 8
  else:
    with pytest.raises(ValueError, match=r"p\.zip: entry .* is packed by"):
      sb3_policy.read(path)


def test_a_hostile_policy_is_refused_and_its_settings_stay_pickled(tmp_path):
  path, mark = tmp_path / "p.zip", tmp_path / "executed"
  call = (
    fakes.name("pathlib", "Path.touch")
    + pickle.MARK
    + fakes.text(str(mark))
    + pickle.TUPLE
    + pickle.REDUCE
  )
  evil = fakes.torch_file(fakes.state_dict({"action_net.weight": call}), {})
  _repack(fakes.policy_file(path, fakes.policy_arrays()), {"policy.pth": evil})
  with pytest.raises(ValueError, match=r"policy\.pth: refused.*Path\.touch"):
    sb3_policy.read(path)
  # Beside what plays no part it is never looked at, and elsewhere refused.
  hostile = fakes.serialized(b"\x80\x04" + call + pickle.STOP)
  for key in ("lr_schedule", "policy_class"):
    data = json.dumps(fakes.policy_settings() | {key: hostile})
    fakes.policy_file(path, fakes.policy_arrays(), data)
    if key == "lr_schedule":
      assert sb3_policy.read(path).num_actions == 8
    else:
      with pytest.raises(ValueError, match="policy_class: a call of 'pathlib"):
        sb3_policy.read(path)
  assert not mark.exists()


@pytest.mark.parametrize("share", [True, False])
def test_a_policy_of_the_real_library_plays_alike(tmp_path, share):
  sb3 = pytest.importorskip(
    "stable_baselines3",
    reason="needs requirements-test-sb3.txt: no stable_baselines3",
  )
  import torch

  class Still(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 255, (128, 40, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(8)

    def reset(self, seed=None, options=None):
      return np.zeros((128, 40, 3), np.uint8), {}

  model = sb3.PPO(
    "CnnPolicy",
    Still(),
    n_steps=8,
    batch_size=8,
    device="cpu",
    seed=0,
    policy_kwargs={"share_features_extractor": share},
  )
  with torch.no_grad():  # fresh weights hardly tell one action from another
    for value in model.policy.parameters():
      value.add_(0.03 * torch.randn_like(value))
  model.save(tmp_path / "real.zip")
  weights = sb3_policy.read(tmp_path / "real.zip")
  player = sb3_policy.Player(weights, 4)
  disagreement = 0.0
  for t in range(4):
    frames = _frames(4, seed=t)
    before = player._recent.copy()
    observed = player.observe(frames, np.full(4, t == 0))
    actions, _ = model.predict(observed, deterministic=True)
    player._recent = before
    np.testing.assert_array_equal(
      player.act(frames, np.full(4, t == 0)), actions
    )
    tensor, _ = model.policy.obs_to_tensor(observed.transpose(0, 3, 1, 2))
    with torch.no_grad():
      logits = model.policy.get_distribution(tensor).distribution.logits
    ours = sb3_policy.action_logits(weights, observed)
    ours = ours - np.log(np.exp(ours).sum(axis=1, keepdims=True))
    disagreement = max(disagreement, np.abs(ours - logits.numpy()).max())
    assert np.ptp(logits.numpy()) > 0.1  # there is something to agree on
  assert disagreement < 1e-3
