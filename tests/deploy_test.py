"""What `deploy/` hands to engines: short, parsed, and deciding as documented.

Whether SLURM carries it out is tried by `deploy/try_slurm.sh` (slow).
"""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

from tests import conftest

_DEPLOY = conftest.ROOT / "deploy"
_SLURM = sorted((_DEPLOY / "slurm").glob("*.sbatch"))
_KUBERNETES = sorted((_DEPLOY / "kubernetes").glob("*.yaml"))
_LIMIT_S = 3600  # its own limits come first


def _name(path):
  return path.name


@pytest.mark.parametrize(
  "path",
  sorted((*_DEPLOY.glob("slurm/*"), *_DEPLOY.glob("kubernetes/*"))),
  ids=_name,
)
def test_a_file_for_an_engine_is_short(path):
  lines = path.read_text(encoding="utf-8").splitlines()
  assert 10 < len(lines) <= 40
  assert max(map(len, lines)) <= 80


# --- What is run --------------------------------------------------------------


def _told(path):
  """The verb and the flags that a file gives it, examples of it included."""
  if path in _KUBERNETES:
    (container,) = _job(path)["spec"]["template"]["spec"]["containers"]
    words = [*container["command"], *container["args"]]
    assert words[:2] == ["python", "-m"]
  else:
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    example = re.search(r"^# +sbatch .*(?:\\\s*\n# .*)*$", text, re.MULTILINE)
    words = shlex.split(example.group().replace("#", " ").replace("\\", " "))
    (script,) = (n for n, word in enumerate(words) if word.endswith(path.name))
    assert (conftest.ROOT / words[script]).samefile(path)
    (line,) = re.findall(r"^srun .*$", text, re.MULTILINE)
    line = line.partition(" -m ")[2]
    words = [*shlex.split(line), *words[script + 1 :]]
  (verb,) = (x for x in words if x.startswith("experiments."))
  return verb, [x.split("=")[0] for x in words if x.startswith("--")]


@pytest.mark.parametrize("path", [*_SLURM, *_KUBERNETES], ids=_name)
def test_verbs_and_flags_exist(path):
  verb, flags = _told(path)
  assert (
    verb
    == {
      "collect": "experiments.collect_data",
      "learn": "experiments.train_rssm",
    }[path.stem]
  )
  done = subprocess.run(
    [sys.executable, "-m", verb, "--help"],
    cwd=conftest.ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert len(flags) >= 4
  for flag in flags:
    assert re.search(rf"^ *{flag}[:,]", done.stdout, re.MULTILINE), flag


# --- SLURM --------------------------------------------------------------------

_OPTIONS = {
  "--job-name": r"\w+",
  "--array": r"0-\d+",
  "--nodes": r"\d+",
  "--ntasks-per-node": r"\d+",
  "--cpus-per-task": r"\d+",
  "--mem": r"\d+G",
  "--time": r"\d\d:\d\d:\d\d",
  "--signal": r"TERM@\d+",
  "--requeue": "",
  "--open-mode": "append",
}


@pytest.mark.parametrize("path", _SLURM, ids=_name)
def test_a_batch_script_parses_and_comes_back(path):
  assert subprocess.run(["bash", "-n", path]).returncode == 0
  text = path.read_text(encoding="utf-8")
  assert text.startswith("#!/bin/bash\n")
  options = dict(
    line.partition("=")[::2]
    for line in re.findall(r"^#SBATCH (\S+)$", text, re.MULTILINE)
  )
  assert len(options) == text.count("#SBATCH")
  for option, value in options.items():
    assert re.fullmatch(_OPTIONS[option], value), option
  # The command and not the script is told, which lives to requeue the job.
  assert {"--requeue", "--signal", "--open-mode"} <= set(options)


@pytest.fixture
def engine(tmp_path):
  """Programs of SLURM that write down what they are asked."""
  programs = {
    "squeue": 'echo "$STATE"',
    "scontrol": ":",
    "srun": "exit $CODE",
  }
  folder = tmp_path / "programs"
  folder.mkdir()
  for name, answer in programs.items():
    path = folder / name
    path.write_text(
      f'#!/bin/bash\necho "{name} $*" >>{tmp_path}/asked\n{answer}\n'
    )
    path.chmod(0o755)

  def run(path, code, state="RUNNING", flags=(), **environment):
    (tmp_path / "asked").unlink(missing_ok=True)
    done = subprocess.run(
      ["bash", path, *flags],
      cwd=tmp_path,
      capture_output=True,
      text=True,
      env={
        "PATH": f"{folder}:{os.environ['PATH']}",
        "CODE": str(code),
        "STATE": state,
        "SLURM_JOB_ID": "7",
        "SLURM_CPUS_PER_TASK": "2",
        **environment,
      },
    )
    asked = (tmp_path / "asked").read_text().splitlines()
    return done, asked

  (tmp_path / "deploy").symlink_to(_DEPLOY)
  return run


_REQUEUE = "scontrol requeue 7"


@pytest.mark.parametrize("path", _SLURM, ids=_name)
@pytest.mark.parametrize(
  ("code", "requeued"),
  [(0, 0), (2, 0), (130, 1), (143, 1), (1, 1), (134, 1), (137, 1)],
)
def test_the_exit_code_decides(engine, path, code, requeued):
  done, asked = engine(path, code)
  assert done.returncode == code and not done.stderr
  assert asked.count(_REQUEUE) == requeued


@pytest.mark.parametrize("code", [1, 137])
def test_a_fault_is_tried_three_times_more(engine, tmp_path, code):
  path = _SLURM[0]
  for _ in range(3):
    assert _REQUEUE in engine(path, code)[1]
    for stopped in (130, 143):  # is no fault in between
      assert _REQUEUE in engine(path, stopped)[1]
  done, asked = engine(path, code)
  assert done.returncode == code and _REQUEUE not in asked
  assert done.stdout == (
    f"ended with {code}, after 3 faults before: job 7 stays failed\n"
  )
  assert not list(tmp_path.glob("*.faults"))
  assert _REQUEUE in engine(path, code)[1]  # submitted anew


def test_what_went_well_forgets_its_faults(engine, tmp_path):
  engine(_SLURM[0], 1)
  assert [f.name for f in tmp_path.glob("*.faults")] == ["slurm-7.faults"]
  engine(_SLURM[0], 0)
  assert not list(tmp_path.glob("*.faults"))


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED", ""])
@pytest.mark.parametrize("code", [1, 130, 143])
def test_what_was_cancelled_or_gives_way_is_slurms(
  engine, tmp_path, code, state
):
  done, asked = engine(_SLURM[0], code, state)
  assert done.returncode == code and _REQUEUE not in asked
  assert f"job 7 is {state or 'unknown'}: left to SLURM" in done.stdout
  assert not list(tmp_path.glob("*.faults"))


def test_one_of_an_array_does_not_requeue_the_others(engine, tmp_path):
  # The last one that begins has the array's own number.
  array = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
  _, asked = engine(_SLURM[0], 1, **array)
  assert asked[1:] == [
    "squeue --noheader --jobs=7_3 --format=%T",
    "scontrol requeue 7_3",
  ]
  assert (tmp_path / "slurm-7_3.faults").read_text() == "1\n"


def test_the_command_gets_what_stands_behind_the_script(engine):
  _, asked = engine(
    _DEPLOY / "slurm" / "collect.sbatch",
    0,
    flags=["--workdir=a folder", "--episodes=8"],
    SLURM_ARRAY_TASK_COUNT="4",
    PYTHON="/my/python",
  )
  assert asked == [
    "srun --cpus-per-task=2 /my/python -m experiments.collect_data "
    "--collector_index=auto --collector_count=4 --workers=2 "
    "--workdir=a folder --episodes=8"
  ]


@pytest.mark.parametrize("path", _SLURM, ids=_name)
def test_away_from_the_repository_nothing_is_run(tmp_path, path):
  done = subprocess.run(
    ["bash", path], cwd=tmp_path, capture_output=True, text=True
  )
  assert done.returncode == 2
  assert "deploy/slurm/ending.sh: No such file" in done.stderr


# --- Kubernetes ---------------------------------------------------------------


def _documents(path):
  with open(path, encoding="utf-8") as file:
    return list(yaml.safe_load_all(file))


def _job(path):
  (job,) = (x for x in _documents(path) if x["kind"] == "Job")
  return job


@pytest.mark.parametrize("path", _KUBERNETES, ids=_name)
def test_an_indexed_job_decides_by_exit_codes(path):
  job = _job(path)
  assert job["apiVersion"] == "batch/v1"
  spec = job["spec"]
  pod = spec["template"]["spec"]
  (container,) = pod["containers"]
  # No second pod of an index, and whatever the policy below needs.
  assert spec["completionMode"] == "Indexed"
  assert spec["podReplacementPolicy"] == "Failed"
  assert pod["restartPolicy"] == "Never"
  assert spec["backoffLimitPerIndex"] == 3
  assert spec["parallelism"] == spec["completions"]
  words = dict(word.split("=", 1) for word in container["args"])
  count = words.get("--collector_count") or words["--num_processes"]
  assert int(count) == spec["completions"]

  def action(code, disrupted=False):
    """As the controller finds it: the first rule that fits."""
    for rule in spec["podFailurePolicy"]["rules"]:
      (key,) = rule.keys() - {"action"}
      if key == "onExitCodes":
        assert rule[key].keys() == {"operator", "values"}
        assert rule[key]["operator"] == "In"
        assert rule[key]["values"] == sorted(set(rule[key]["values"]) - {0})
        fits = code in rule[key]["values"]
      else:
        assert rule[key] == [{"type": "DisruptionTarget", "status": "True"}]
        fits = disrupted
      if fits:
        return rule["action"]
    return "Count"

  failed = {"collect": "FailIndex", "learn": "FailJob"}[path.stem]
  for disrupted in (False, True):
    assert action(2, disrupted) == failed
    assert action(130, disrupted) == action(143, disrupted) == "Ignore"
  assert action(1) == action(134) == action(137) == "Count"
  assert action(137, True) == "Ignore"
  # Every mount has its volume; all that is written lies there.
  volumes = {volume["name"] for volume in pod["volumes"]}
  (mount,) = container["volumeMounts"]
  assert {mount["name"]} == volumes
  assert words["--workdir"].startswith(mount["mountPath"] + "/")


def test_the_pods_of_the_learner_find_each_other():
  service, job = _documents(_DEPLOY / "kubernetes" / "learn.yaml")
  name, pod = job["metadata"]["name"], job["spec"]["template"]["spec"]
  words = dict(word.split("=", 1) for word in pod["containers"][0]["args"])
  assert service["kind"] == "Service"
  assert service["spec"]["clusterIP"] == "None"
  assert service["spec"]["selector"] == {"job-name": name}
  assert pod["subdomain"] == service["metadata"]["name"]
  host = f"{name}-0.{pod['subdomain']}"
  assert re.fullmatch(rf"{host}:\d+", words["--coordinator"])
  assert words["--process_id"] == "$(JOB_COMPLETION_INDEX)"


@pytest.mark.parametrize("path", _KUBERNETES, ids=_name)
def test_manifests_fit_the_published_schema(path):
  validate = pytest.importorskip(
    "kubernetes_validate", reason="pip install kubernetes-validate"
  )
  for document in _documents(path):
    for version in ("1.33", validate.latest_version()):
      validate.validate(document, version, strict=True)


# --- The trial ----------------------------------------------------------------

_TRY = _DEPLOY / "try_slurm.sh"


@pytest.mark.parametrize("arguments", [(), ("a", "b")])
def test_the_trial_says_what_it_lacks(tmp_path, arguments):
  assert subprocess.run(["bash", "-n", _TRY]).returncode == 0
  (tmp_path / "dirname").symlink_to(shutil.which("dirname"))
  done = subprocess.run(
    [shutil.which("bash"), _TRY, *arguments],
    env={"PATH": str(tmp_path)},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_slurm_carries_it_out(tmp_path):
  for name in ("slurmctld", "slurmd", "munged", "sbatch"):
    if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin"):
      pytest.skip(f"{name} is not there: see {_TRY}")
  done = subprocess.run(
    [_TRY, tmp_path / "cluster"],
    env=os.environ | {"PYTHON": sys.executable},
    capture_output=True,
    text=True,
    timeout=_LIMIT_S,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  assert done.stdout.splitlines()[-1].endswith("all as undisturbed")
