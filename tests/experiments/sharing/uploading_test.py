"""What is sent, to whom, and what a second call has left to do."""

import os
import subprocess
import sys

from absl import flags
from absl.testing import flagsaver
import pytest

from data_tools.collecting import collector
from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import loader
from experiments import upload_to_hf
from experiments.runs import exporting
from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.sharing import folders
from experiments.sharing import uploading
from tests import conftest
from tests.experiments.dreaming import made
from tests.experiments.sharing import hub_double

# How huggingface_hub 2.4 calls httpx2 is not ours to mend.
pytestmark = pytest.mark.filterwarnings(
  "ignore:Use 'content=:DeprecationWarning"
)

REPO = "user/Small_model"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A run directory of a policy."""
  folder = tmp_path_factory.mktemp("runs") / "policy"
  folder.mkdir()
  return made.run_of(folder, "policy")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
  """A directory of six short episodes."""
  folder = tmp_path_factory.mktemp("records")
  rom = roms.resolve("chapter_one")
  mix = "demonstrator=0.5,random=0.5"
  collection = collector.make_collection(rom, 1, 70, mix, 0, None, "")
  collector.collect(folder, rom, collection, 6, 1)
  return folder


@pytest.fixture(scope="module", autouse=True)
def _parsed():
  flags.FLAGS.mark_as_parsed()


@pytest.fixture
def key(monkeypatch):
  monkeypatch.setenv("HF_TOKEN", hub_double.TOKEN)
  return hub_double.TOKEN


# Of flags that other verbs of this process may have defined as well.
_DEFAULTS = {"checkpoint": None, "data_dir": None, "dtype": None, "result": []}
_DEFAULTS |= {"max_files": 0, "checkpoint_step": "latest"}


def _call(workdir, **given):
  """The verb in this process."""
  given = {"repo": REPO, "workdir": str(workdir)} | given
  with flagsaver.flagsaver(**(_DEFAULTS | given)):
    upload_to_hf.main()


def _upload(workdir, **given):
  _call(workdir, upload=True, dry_run=False, **given)


def test_nothing_is_sent_unless_it_is_asked_for(
  hub, key, run, records, tmp_path, capsys
):
  _call(tmp_path / "w", checkpoint=str(run), data_dir=str(records))
  assert not hub.asked
  told = capsys.readouterr().out
  model = tmp_path / "w" / "model"
  for name in ("config.json", "model.safetensors", "README.md"):
    assert f"{(model / name).stat().st_size:,}  {name}" in told
  assert "preview/0000.png" in told and ".arrayrecord" in told
  assert "Nothing was sent: --upload does it." in told


def test_a_model_is_sent_private_and_whole(hub, key, run, tmp_path, capsys):
  _upload(tmp_path / "w", checkpoint=str(run))
  (asked,) = [a for a in hub.asked if a.path == "/api/repos/create"]
  assert asked.values["visibility"] == "private"
  assert asked.values["organization"] == "user"
  repo = hub.repos["model", REPO]
  assert repo.private
  assert repo.files == {
    path.name: path.read_bytes() for path in (tmp_path / "w/model").iterdir()
  }
  assert list(repo.large) == ["model.safetensors"]
  card = repo.files["README.md"].decode()
  assert f"--policy=hf://{REPO}" in card and str(tmp_path) not in card
  # Sent with the token, which nobody is told.
  assert {a.token for a in hub.asked if "/api/" in a.path} == {key}
  assert key not in "".join(capsys.readouterr())


def test_public_is_asked_for_and_never_happens_else(
  hub, key, run, tmp_path, capsys
):
  _upload(tmp_path / "w", checkpoint=str(run), public=True)
  assert not hub.repos["model", REPO].private
  created = [a for a in hub.asked if a.path == "/api/repos/create"]
  assert created[0].values["visibility"] == "public"
  # It is public now: without the flag nothing more goes there.
  hub.repos["model", REPO].files.clear()
  with pytest.raises(ValueError, match=r"is public, and nothing was sent"):
    _upload(tmp_path / "w", checkpoint=str(run))
  assert not hub.repos["model", REPO].files
  # A Hub that does not do as it is asked.
  hub.repos.clear()
  hub.creates_public = True
  with pytest.raises(ValueError, match=r"is public, and nothing was sent"):
    _upload(tmp_path / "w", checkpoint=str(run))


def test_a_cut_upload_is_gone_on_with(hub, key, run, records, tmp_path, capsys):
  work = tmp_path / "w"
  hub.cut_after = 100_000
  with pytest.raises(run_directory.Failed, match="the same command sends"):
    _upload(work, checkpoint=str(run))
  assert hub.cuts > 1  # it was tried again, in vain
  assert not hub.repos["model", REPO].files  # no half of a model
  hub.cut_after = None
  _upload(work, checkpoint=str(run))
  assert len(hub.repos["model", REPO].files) == 3
  stored = hub.count("PUT")
  capsys.readouterr()
  _upload(work, checkpoint=str(run))
  assert "3 files are there, 0 to send" in capsys.readouterr().out
  assert hub.count("PUT") == stored and hub.repos["model", REPO].commits == 1


def test_what_arrived_before_a_cut_is_not_sent_again(
  hub, key, records, tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(uploading, "_MOST_FILES", 3)
  sent = []
  commit = uploading._commit

  def fail(api, shipment, group):
    if len(sent) == 2:
      hub.stop()  # the network is gone
    commit(api, shipment, group)
    sent.append(len(group))

  monkeypatch.setattr(uploading, "_commit", fail)
  url = hub.url
  with pytest.raises(run_directory.Failed, match="cannot be reached"):
    _upload(tmp_path / "w", data_dir=str(records), preview_frames=8)
  assert sent == [3, 3]
  before = dict(hub.repos["dataset", REPO].files)
  assert len(before) == 6 and "README.md" not in before
  with hub_double.Hub() as again:
    assert again.url != url
    monkeypatch.setenv("HF_ENDPOINT", again.url)
    monkeypatch.setattr(uploading, "_commit", commit)
    again.repos, again.blobs = hub.repos, hub.blobs
    capsys.readouterr()
    _upload(tmp_path / "w", data_dir=str(records), preview_frames=8)
    assert "6 files are there" in capsys.readouterr().out
    again_sent = [
      line
      for a in again.asked
      if "preupload" in a.path
      for line in a.values["files"]
    ]
    assert not {f["path"] for f in again_sent} & before.keys()
  assert "README.md" in hub.repos["dataset", REPO].files


def test_records_come_back_as_they_were(hub, key, records, tmp_path):
  library = pytest.importorskip("huggingface_hub")
  _upload(tmp_path / "w", data_dir=str(records), preview_frames=8)
  back = library.snapshot_download(
    REPO,
    repo_type="dataset",
    local_dir=tmp_path / "back",
    endpoint=hub.url,
    token=key,
  )
  one, other = generations.gather(records), generations.gather(back)
  assert one.digest == other.digest and one.num_episodes == 6
  index = loader.EpisodeIndex(other, "all")
  assert sum(len(rows["frame"]) for _, rows in index.episodes()) > 300
  card = hub.repos["dataset", REPO].files["README.md"].decode()
  for text in ("path: preview/*", one.digest, "demonstrator", "6 episodes"):
    assert text in card
  assert str(records) not in card


def test_a_second_export_is_of_the_same_bytes(
  hub, key, run, tmp_path, monkeypatch
):
  # Of a folder that was exported before: its arrays as they are.
  out = str(tmp_path / "int8")
  exporting.write(str(run), out, "small", "int8")
  _upload(tmp_path / "w", checkpoint=out)
  sent = hub.repos["model", REPO].files
  arrays = (tmp_path / "int8" / "model.safetensors").read_bytes()
  assert sent["model.safetensors"] == arrays
  model = str(tmp_path / "w" / "model")
  assert inputs.fingerprint(model) == inputs.fingerprint(out)
  # What was measured of it is not said of what is rounded otherwise.
  one = {"what": "play", "player": "", "rounded": True, "command": ""}
  told = []
  monkeypatch.setattr(exporting, "read_results", lambda _: [one])
  monkeypatch.setattr(
    folders.model_card, "write", lambda _, measured, *__: told.extend(measured)
  )
  _call(tmp_path / "w", checkpoint=out)
  _call(tmp_path / "w", checkpoint=out, dtype="float16")
  assert [m["rounded"] for m in told] == [True, False]


@pytest.mark.parametrize(
  ("given", "message"),
  [
    ({"repo": "name"}, "--repo=name: expected user/name"),
    ({"repo": "user/../x"}, "expected user/name"),
    ({"token": "hf_SomeLiteralToken"}, "--token: expected the NAME"),
    ({"token_env": "hf_SomeLiteralToken"}, "--token_env: expected the NAME"),
    ({"token": "HF_TOKEN", "token_env": "HF_TOKEN"}, "two names of one"),
    ({"dtype": "float8"}, "--dtype=float8: expected one of float16"),
    ({"max_files": -1}, "--max_files=-1: expected at least 0"),
    ({"preview_frames": 0}, "--preview_frames=0: expected at least 1"),
    ({"checkpoint": None}, "--checkpoint or --data_dir is required"),
  ],
)
def test_bad_input_is_a_line(run, tmp_path, given, message):
  with pytest.raises(ValueError, match=message) as caught:
    _call(tmp_path / "w", **({"checkpoint": str(run)} | given))
  assert "SomeLiteral" not in str(caught.value)
  assert not (tmp_path / "w").exists()


def test_the_hub_says_no(hub, key, run, tmp_path, monkeypatch):
  with pytest.raises(ValueError, match=r"--repo=other/x: .* may not do this"):
    _upload(tmp_path / "w", checkpoint=str(run), repo="other/x")
  monkeypatch.setenv("OTHER", "hf_another")
  with pytest.raises(ValueError, match=r"does not know the token"):
    _upload(tmp_path / "w", checkpoint=str(run), token_env="OTHER")
  monkeypatch.delenv("OTHER")
  with pytest.raises(ValueError, match=r"the environment has no variable"):
    _upload(tmp_path / "w", checkpoint=str(run), token="OTHER")
  hub.status = 503
  with pytest.raises(run_directory.Failed, match=r"the Hub answers 503"):
    _upload(tmp_path / "w", checkpoint=str(run))


def test_what_lies_in_the_way_is_kept(run, tmp_path):
  (tmp_path / "w" / "model").mkdir(parents=True)
  (tmp_path / "w" / "model" / "mine.txt").write_text("kept")
  with pytest.raises(ValueError, match=r"'mine.txt' lies there"):
    _call(tmp_path / "w", checkpoint=str(run))
  assert (tmp_path / "w" / "model" / "mine.txt").read_text() == "kept"
  exporting.write(str(run), tmp_path / "v" / "model", "small", "float16")
  with pytest.raises(ValueError, match=r"that this command makes itself"):
    _call(tmp_path / "v", checkpoint=str(tmp_path / "v" / "model"))
  assert (tmp_path / "v" / "model" / "config.json").exists()


def test_pictures_of_other_games_stay_here(run, records, tmp_path, monkeypatch):
  from data_tools import cartridge

  monkeypatch.setattr(cartridge, "world", lambda sha1: None)
  for given in ({"checkpoint": str(run)}, {"data_dir": str(records)}):
    with pytest.raises(ValueError, match=r"no practice cartridge; .*not yours"):
      _call(tmp_path / "w", **given)
    assert not (tmp_path / "w").exists()
  _call(tmp_path / "w", data_dir=str(records), foreign_pictures=True)
  card = (tmp_path / "w" / "dataset" / "README.md").read_text()
  assert card.startswith("---\nlicense: other\n")
  assert "this licence does not give it away" in card


def test_records_say_what_they_show_whatever_their_rom_is_called(
  records, tmp_path, monkeypatch
):
  import dataclasses

  generation = generations.gather(records)
  (shard, *_) = generation.shards
  entry = shard.episodes[-1]
  header = dataclasses.replace(entry.header, rom_kind="pokemon_red")
  entry = dataclasses.replace(entry, header=header)
  shard = dataclasses.replace(shard, episodes=(*shard.episodes[:-1], entry))
  monkeypatch.setattr(
    generations,
    "gather",
    lambda *_, **__: dataclasses.replace(generation, shards=(shard,)),
  )
  with pytest.raises(ValueError, match=r"1 episodes show .*\(pokemon_red\)"):
    folders.records(str(records), tmp_path / "w", REPO)


def test_the_token_is_seen_by_the_hub_alone(hub, run, records, tmp_path):
  """The command as a user calls it: its output and every file it leaves."""
  secret = hub_double.TOKEN
  command = [
    *(sys.executable, "-m", "experiments.upload_to_hf"),
    *(f"--checkpoint={run}", f"--data_dir={records}", f"--repo={REPO}"),
    *("--workdir=w", "--token_env=MY_KEY", "--upload", "--preview_frames=4"),
  ]
  env = os.environ | {
    "PYTHONPATH": os.pathsep.join([str(conftest.ROOT), *sys.path]),
    "MY_KEY": secret,
    "HF_HUB_DISABLE_XET": "1",
    "HF_HOME": str(tmp_path / "home"),
    "POKEDREAMER_TRACEBACK": "1",
  }
  told = ""
  for fault, code in ((None, 0), (401, 2)):
    hub.status = fault
    done = subprocess.run(
      command, cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    told += done.stdout + done.stderr
  literal = subprocess.run(
    [*command, f"--token={secret}"],
    cwd=tmp_path,
    env=env | {"POKEDREAMER_TRACEBACK": ""},
    capture_output=True,
    text=True,
  )
  assert literal.returncode == 2
  assert len(literal.stderr.strip().splitlines()) == 1
  told += literal.stdout + literal.stderr
  assert any(a.token == secret for a in hub.asked)
  assert secret not in told
  held = [p for p in tmp_path.rglob("*") if p.is_file()]
  assert len(held) > 8
  for path in held:
    assert secret.encode() not in path.read_bytes(), path
  for repo in hub.repos.values():
    assert all(secret.encode() not in data for data in repo.files.values())
