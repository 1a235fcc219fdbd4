"""PyTorch files and Stable-Baselines3 policies, written without either."""

import base64
import io
import json
import pickle
import struct
import zipfile

import gymnasium
import numpy as np

_STORAGES = {
  "float32": "FloatStorage",
  "float64": "DoubleStorage",
  "int64": "LongStorage",
  "bfloat16": "BFloat16Storage",
  "complex64": "ComplexFloatStorage",
}


def text(value):
  data = value.encode()
  return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def number(value):
  if value < 1 << 31:
    return pickle.BININT + struct.pack("<i", value)
  data = value.to_bytes(8, "little", signed=True)
  return pickle.LONG1 + bytes([len(data)]) + data


def numbers(values):
  return pickle.MARK + b"".join(map(number, values)) + pickle.TUPLE


def name(module, attribute):
  return pickle.GLOBAL + f"{module}\n{attribute}\n".encode()


def storage(key, dtype, length):
  return (
    pickle.MARK
    + text("storage")
    + name("torch", _STORAGES[dtype])
    + text(key)
    + text("cpu")
    + number(length)
    + pickle.TUPLE
    + pickle.BINPERSID
  )


def tensor(stored, offset, shape, stride):
  """The call that builds a tensor on a pickled storage."""
  return (
    name("torch._utils", "_rebuild_tensor_v2")
    + pickle.MARK
    + stored
    + number(offset)
    + numbers(shape)
    + numbers(stride)
    + pickle.NEWFALSE
    + name("collections", "OrderedDict")
    + pickle.EMPTY_TUPLE
    + pickle.REDUCE
    + pickle.TUPLE
    + pickle.REDUCE
  )


def state_dict(items):
  """The pickle of a dictionary of already pickled values."""
  return b"\x80\x02" + pickled(items) + pickle.STOP


def pickled(items):
  """A dictionary of already pickled values, to stand in a pickle."""
  body = b"".join(text(key) + value for key, value in items.items())
  head = name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
  return head + pickle.MARK + body + pickle.SETITEMS


def torch_file(data, storages, method=zipfile.ZIP_STORED, **entries):
  """A PyTorch file of a pickle and raw storages by key.

  The library stores everything; storages may be packed by another method.
  """
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w") as file:
    file.writestr("archive/data.pkl", data)
    file.writestr("archive/byteorder", entries.get("byteorder", "little"))
    for key, raw in storages.items():
      file.writestr(f"archive/data/{key}", raw, method)
  return buffer.getvalue()


def save(arrays):
  """What `torch.save` writes of contiguous arrays by name."""
  storages = {}
  items = _tensors(arrays, storages)
  return torch_file(state_dict(items), storages)


def save_checkpoint(arrays, **others):
  """What `torch.save` writes of arrays by `part.name` and pickled others."""
  storages, parts = {}, {}
  for key, array in arrays.items():
    part, _, rest = key.partition(".")
    parts.setdefault(part, {})[rest] = array
  items = {part: _tensors(inner, storages) for part, inner in parts.items()}
  items = {part: pickled(inner) for part, inner in items.items()}
  return torch_file(state_dict(items | others), storages)


def _tensors(arrays, storages):
  """Pickled tensors of contiguous arrays, whose bytes go to `storages`."""
  items = {}
  for key, array in arrays.items():
    at = str(len(storages))
    stride = [n // array.itemsize for n in array.strides]
    stored = storage(at, str(array.dtype), array.size)
    items[key] = tensor(stored, 0, array.shape, stride)
    storages[at] = array.tobytes()
  return items


def policy_arrays(num_frames=3, num_actions=8, prefix="features_extractor"):
  """Random arrays of a small convolutional policy, by their names."""
  rng = np.random.default_rng(0)
  shapes = {
    f"{prefix}.cnn.0": (4, 3, 8, 8),
    f"{prefix}.cnn.2": (5, 4, 4, 4),
    f"{prefix}.cnn.4": (6, 5, 3, 3),
    f"{prefix}.linear.0": (16, _features(num_frames)),
    "action_net": (num_actions, 16),
    "value_net": (1, 16),
  }
  arrays = {}
  for key, shape in shapes.items():
    scale = np.sqrt(2 / np.prod(shape[1:]))
    arrays[f"{key}.weight"] = rng.normal(0, scale, shape).astype(np.float32)
    arrays[f"{key}.bias"] = rng.normal(size=shape[0]).astype(np.float32)
  return arrays


def _features(num_frames):
  height = 20 + 36 * num_frames
  for kernel, stride in ((8, 4), (4, 2), (3, 1)):
    height = (height - kernel) // stride + 1
  return 6 * height


def serialized(value):
  """What Stable-Baselines3 keeps of a thing that JSON cannot hold."""
  data = value if isinstance(value, bytes) else pickle.dumps(value)
  return {":type:": "whatever", ":serialized:": base64.b64encode(data).decode()}


def named(module, attribute):
  """A pickle of a class or a function, which need not be there."""
  return b"\x80\x04" + name(module, attribute) + pickle.STOP


def policy_settings(num_frames=3, num_actions=8, **changes):
  """Settings of a policy, as a dictionary for JSON."""
  shape = (3, 20 + 36 * num_frames, 40)
  settings = {
    "policy_class": serialized(
      named("stable_baselines3.common.policies", "ActorCriticCnnPolicy")
    ),
    "verbose": 1,
    "policy_kwargs": {},
    "observation_space": serialized(
      gymnasium.spaces.Box(0, 255, shape, np.uint8)
    ),
    "action_space": serialized(gymnasium.spaces.Discrete(num_actions)),
    "use_sde": False,
    "gamma": 0.998,
    "_last_obs": serialized(np.zeros(3)),
  }
  return settings | changes


def policy_file(path, arrays, data=None, version="2.0.0", **entries):
  """Writes a policy file as Stable-Baselines3 lays it out.

  Args:
    path: of the file.
    arrays: by name, as of `policy_arrays`.
    data: the settings as text; by default those that fit the arrays.
    version: of the library.
    **entries: more of them, as text by name.
  """
  if data is None:
    inputs = next(a.shape[1] for k, a in arrays.items() if "linear.0.w" in k)
    frames = next((n for n in range(1, 9) if _features(n) == inputs), 3)
    actions = len(arrays["action_net.bias"])
    data = json.dumps(policy_settings(frames, actions))
  with zipfile.ZipFile(path, "w") as file:
    file.writestr("data", data)
    file.writestr("policy.pth", save(arrays))
    file.writestr("_stable_baselines3_version", version)
    for entry, content in entries.items():
      file.writestr(entry, content)
  return path
