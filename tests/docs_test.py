"""What the papers name is there: files, modules, links."""

import ast
import re
import tomllib

import pytest

from tests import conftest

_PAPERS = sorted(
  path.relative_to(conftest.ROOT).as_posix()
  for pattern in (
    "*.md",
    "docs/*.md",
    "benchmarks/*.md",
    "examples/*.md",
    "data_tools/**/*.md",
  )
  for path in conftest.ROOT.glob(pattern)
)
_PACKAGES = "pokedreamer_jax|data_tools|experiments|tests"
_FILE = re.compile(r"(?<![\w./*-])[\w./-]*\w\.(?:py|md|toml|c|s|h|gb|png)\b")
_MODULE = re.compile(rf"(?<![\w./=-])(?:{_PACKAGES})(?:\.\w+)+")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
# Placeholders, and files that a user has.
_NOT_OURS = (
  "experiments.NAME",
  "script.py",
  "visits.png",
  "paths.png",
  "dreams.png",
)
_NAMES = {
  path.name
  for folder in (*_PACKAGES.split("|"), "docs")
  for path in (conftest.ROOT / folder).rglob("*")
}


def _text(paper):
  """A paper; of the changelog without what things were called before."""
  text = (conftest.ROOT / paper).read_text(encoding="utf-8")
  if paper == "CHANGELOG.md":
    text = re.sub(r"^\| [^|]* \|", "|", text, flags=re.MULTILINE)
  return text


def _prose(paper):
  return re.sub(r"https?://\S+", "", _text(paper))


def _file_exists(name, folder):
  if "/" not in name:
    return name in _NAMES or (conftest.ROOT / name).exists()
  places = (conftest.ROOT, folder, conftest.ROOT / "pokedreamer_jax")
  return any((place / name).exists() for place in places)


def _module_exists(name):
  """Whether a dotted name is a package, a module, or a name in a module."""
  path = conftest.ROOT / name.replace(".", "/")
  if path.is_dir() or path.with_suffix(".py").exists():
    return True
  for module in (path.parent.with_suffix(".py"), path.parent / "__init__.py"):
    if module.exists():
      return path.name in _top_names(module)
  return False


def _top_names(module):
  for node in ast.parse(module.read_text(encoding="utf-8")).body:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
      yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
      targets = node.targets if isinstance(node, ast.Assign) else [node.target]
      yield from (t.id for t in targets if isinstance(t, ast.Name))
    elif isinstance(node, ast.Import | ast.ImportFrom):
      yield from (a.asname or a.name for a in node.names)


@pytest.mark.parametrize("paper", _PAPERS)
def test_files_and_modules_named_exist(paper):
  folder = (conftest.ROOT / paper).parent
  text = _prose(paper)
  missing = {n for n in _FILE.findall(text) if not _file_exists(n, folder)}
  modules = _MODULE.findall(_FILE.sub("", text))
  missing |= {n for n in modules if not _module_exists(n)}
  assert not missing - set(_NOT_OURS)


@pytest.mark.parametrize("paper", _PAPERS)
def test_links_lead_somewhere(paper):
  folder = (conftest.ROOT / paper).parent
  links = [
    target.partition("#")[0]
    for target in _LINK.findall(_text(paper))
    if "://" not in target
  ]
  missing = [t for t in links if t and not (folder / t).exists()]
  assert not missing


def test_every_page_is_in_the_index():
  folder = conftest.ROOT / "docs"
  index = set(_LINK.findall((folder / "README.md").read_text(encoding="utf-8")))
  pages = {path.name for path in folder.glob("*.md")} - {"README.md"}
  assert pages <= index


def test_the_version_is_said_once_and_cited_alike():
  project = tomllib.loads((conftest.ROOT / "pyproject.toml").read_text())
  version = project["project"]["version"]
  cited = (conftest.ROOT / "CITATION.cff").read_text(encoding="utf-8")
  assert re.search(rf"^version: {re.escape(version)}$", cited, re.MULTILINE)
  changes = (conftest.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
  assert f"\n## {version} - " in changes


@pytest.mark.parametrize(
  "package", ["pokedreamer_jax", "data_tools", "experiments"]
)
def test_every_room_has_its_row(package):
  workspace = _text("WORKSPACE.md").partition(f"### {package}:")[2]
  table = workspace.partition("\n#")[0]
  for room in (conftest.ROOT / package).iterdir():
    if any(room.glob("*.py")):
      assert f"| `{room.name}/` |" in table
