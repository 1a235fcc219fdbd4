import json

import pytest

from data_tools.records import generations
from pokedreamer_jax import whole_files
from tests.data_tools import fakes

_SIX = [(i, 70 + i, "random") for i in range(6)]


def _shard(tmp_path, name):
  return tmp_path / generations.SHARDS_DIR / name


def test_freezing_twice_gives_the_same_file(tmp_path):
  fakes.write(tmp_path, "a", _SIX)
  first = generations.freeze(tmp_path)
  written = first.path.stat().st_mtime_ns
  second = generations.freeze(tmp_path)
  assert first == second
  assert first.path.stat().st_mtime_ns == written
  assert first.num_episodes == 6
  assert first.num_steps == sum(length for _, length, _ in _SIX)


def test_loading_gives_what_was_frozen(tmp_path):
  fakes.write(tmp_path, "a", _SIX)
  frozen = generations.freeze(tmp_path)
  assert generations.load(frozen.path) == frozen


def test_more_data_is_another_generation_and_the_old_one_stays(tmp_path):
  fakes.write(tmp_path, "a", _SIX[:4])
  old = generations.freeze(tmp_path)
  fakes.write(tmp_path, "b", _SIX[4:])
  new = generations.freeze(tmp_path)
  assert new.digest != old.digest
  assert generations.load(old.path) == old


def test_what_was_compared_before_is_not_read_again(tmp_path, monkeypatch):
  names = fakes.write(tmp_path, "a", _SIX[:4])
  old = generations.freeze(tmp_path)
  more = set(fakes.write(tmp_path, "b", _SIX[4:])) - set(names)
  read = []
  file_digest = generations.whole_files.file_digest

  def digest(path):
    read.append(path.name)
    return file_digest(path)

  monkeypatch.setattr(generations.whole_files, "file_digest", digest)
  new = generations.freeze(tmp_path, known=old)
  assert set(read) == more
  assert new == generations.freeze(tmp_path)
  _truncate(_shard(tmp_path, names[0]))  # the size is looked at
  again = generations.freeze(tmp_path, known=new)
  assert [names[0] in str(item) for item in again.skipped] == [True]


def test_the_first_shards_alone_are_another_generation(tmp_path):
  names = fakes.write(tmp_path, "a", _SIX)
  few = generations.freeze(tmp_path, max_shards=2)
  assert [shard.name for shard in few.shards] == names[:2]
  assert generations.load(few.path) == few
  assert few.digest != generations.freeze(tmp_path).digest
  assert generations.freeze(tmp_path, max_shards=3).num_episodes == 6


def test_contents_do_not_depend_on_how_shards_were_cut(tmp_path):
  one, many = tmp_path / "one", tmp_path / "many"
  fakes.write(one, "a", _SIX, per_shard=6)
  fakes.write(many, "a", _SIX[3:], per_shard=1)
  fakes.write(many, "b", _SIX[:3], per_shard=2)
  left, right = generations.freeze(one), generations.freeze(many)
  assert left.digest != right.digest
  assert left.content_digest == right.content_digest
  assert [e.header for _, e in left.episodes()] == [
    e.header for _, e in right.episodes()
  ]


def _truncate(path):
  path.write_bytes(path.read_bytes()[:-1000])


def _flip_a_bit(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 4
  path.write_bytes(data)


def _remove(path):
  path.unlink()


@pytest.mark.parametrize(
  ("damage", "reason"),
  [
    (_truncate, "damaged shard"),
    (_flip_a_bit, "SHA-256"),
    (_remove, "cannot be read"),
  ],
)
def test_a_damaged_shard_is_skipped_counted_and_named(tmp_path, damage, reason):
  names = fakes.write(tmp_path, "a", _SIX)
  damage(_shard(tmp_path, names[1]))
  generation = generations.freeze(tmp_path)
  assert [e.header.episode for _, e in generation.episodes()] == [0, 1, 4, 5]
  assert len(generation.skipped) == 1
  assert names[1] in str(generation.skipped[0])
  assert reason in str(generation.skipped[0])
  assert "left out: 1" in generation.report()


@pytest.mark.parametrize(
  "text",
  [
    "",
    "{",
    "[]",
    '{"shard": "../a", "bytes": 1, "sha256": "", "records": 1, "episodes": []}',
    '{"shard": 1, "bytes": 1, "sha256": "", "records": 1, "episodes": []}',
    '{"shard": "a", "bytes": 1, "sha256": "", "records": 1, "episodes":'
    ' [{"header": null}]}',
  ],
)
def test_a_damaged_manifest_is_skipped_and_named(tmp_path, text):
  names = fakes.write(tmp_path, "a", _SIX)
  manifest = _shard(tmp_path, names[0]).with_suffix(".json")
  manifest.write_text(text)
  generation = generations.freeze(tmp_path)
  assert generation.num_episodes == 4
  assert [s.name for s in generation.skipped] == [manifest.name]


def test_data_of_another_schema_is_skipped_and_named(tmp_path):
  names = fakes.write(tmp_path, "a", _SIX)
  manifest = _shard(tmp_path, names[2]).with_suffix(".json")
  data = json.loads(manifest.read_text())
  data["episodes"][0]["header"]["schema_version"] = 99
  manifest.write_text(json.dumps(whole_files.seal(data)))
  assert "schema_version: 99" in str(generations.freeze(tmp_path).skipped[0])


def test_unfinished_files_are_skipped_and_named(tmp_path):
  names = fakes.write(tmp_path, "a", _SIX)
  _shard(tmp_path, names[0]).with_suffix(".json").unlink()
  _shard(tmp_path, "b-00000.arrayrecord.tmp").write_bytes(b"half")
  skipped = {s.name: s.reason for s in generations.freeze(tmp_path).skipped}
  assert skipped == {
    names[0]: "unfinished: it has no manifest",
    "b-00000.arrayrecord.tmp": "unfinished",
  }


def test_an_episode_that_was_written_twice_counts_once(tmp_path):
  fakes.write(tmp_path, "a", _SIX[:2])
  fakes.write(tmp_path, "b", _SIX[1:3])
  generation = generations.freeze(tmp_path)
  assert [e.header.episode for _, e in generation.episodes()] == [0, 1, 2]
  assert len(generation.skipped) == 1


def test_no_data_is_an_error_that_says_what_to_do(tmp_path):
  with pytest.raises(ValueError, match=r"no complete episodes.*collect_data"):
    generations.freeze(tmp_path)


def test_a_changed_generation_is_refused(tmp_path):
  names = fakes.write(tmp_path, "a", _SIX)
  generation = generations.freeze(tmp_path)
  text = generation.path.read_text()
  generation.path.write_text(text.replace('"length": 70', '"length": 71'))
  with pytest.raises(ValueError, match="its contents have"):
    generations.load(generation.path)
  generation.path.write_text(text)
  _truncate(_shard(tmp_path, names[0]))
  with pytest.raises(ValueError, match=f"shard .*{names[0]} has"):
    generations.load(generation.path)
  with pytest.raises(ValueError, match="No such file"):
    generations.load(tmp_path / "absent.json")
