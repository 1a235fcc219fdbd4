"""The double of the Hub, and the library pointed at it."""

import time
import types

import pytest

from experiments.runs import hub as hub_lib
from tests.experiments.sharing import hub_double


@pytest.fixture
def hub(tmp_path, monkeypatch):
  """A Hub of this machine, and nothing of the person's own."""
  pytest.importorskip(
    "huggingface_hub", reason="needs requirements-hub.txt: no huggingface_hub"
  )
  from huggingface_hub import constants
  from huggingface_hub import file_download
  from huggingface_hub.utils import _http as http

  with hub_double.Hub() as made:
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    # Its patience between tries, up to half a minute.
    hasty = types.SimpleNamespace(**vars(time))
    hasty.sleep = lambda seconds: None
    for module in (http, file_download):
      monkeypatch.setattr(module, "time", hasty)
    hub_lib.fetch.cache_clear()
    http.close_session()
    yield made
    http.close_session()
    hub_lib.fetch.cache_clear()
