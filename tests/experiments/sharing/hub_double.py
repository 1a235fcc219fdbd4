"""The Hub's endpoints that huggingface_hub calls, on this machine alone.

    with hub_double.Hub() as hub:  # hub.url for HF_ENDPOINT
      ...
      hub.repos["model", "user/name"].files["config.json"]

What was asked stands in `hub.asked`. Faults are set by attributes: `cut_after`
breaks the connection after so many bytes of a file that is sent, `status`
answers with it, `endless` goes on after the bytes that a file was to have.
"""

import asyncio
import base64
import dataclasses
import functools
import hashlib
import json
import threading

from aiohttp import web

TOKEN = "hf_TheTokenOfTheDouble0123456789"
USER = "user"
_COMMIT = "c" * 39


@dataclasses.dataclass
class Repo:
  private: bool
  files: dict = dataclasses.field(default_factory=dict)  # name -> bytes
  large: dict = dataclasses.field(default_factory=dict)  # name -> SHA-256
  commits: int = 0

  @property
  def sha(self):
    return f"{_COMMIT}{self.commits % 10}"


@dataclasses.dataclass
class Asked:
  method: str
  path: str
  host: str
  token: str | None
  values: object = None


class Hub:
  """A server in a thread of its own."""

  def __init__(self):
    self.repos: dict[tuple[str, str], Repo] = {}
    self.blobs: dict[str, bytes] = {}  # by SHA-256, of commits or none
    self.asked: list[Asked] = []
    self.cut_after = None
    self.cuts = 0
    self.status = None
    self.endless = False
    self.creates_public = False

  def __enter__(self):
    self._loop = asyncio.new_event_loop()
    ready = threading.Event()
    self._thread = threading.Thread(target=self._run, args=(ready,))
    self._thread.start()
    ready.wait(10)
    return self

  def __exit__(self, *_):
    if self._loop.is_closed():
      return
    self._loop.call_soon_threadsafe(self._loop.stop)
    self._thread.join(10)

  def stop(self):
    """Takes it off the network."""
    self.__exit__()

  def put(self, repo, files, kind="model", private=True, large=()):
    """Fills a repository as if somebody had."""
    before = self.repos.get((kind, repo), Repo(private)).commits
    made = Repo(private, dict(files), commits=before + 1)
    self.repos[kind, repo] = made
    for name in large:
      made.large[name] = hashlib.sha256(files[name]).hexdigest()
    return made

  def count(self, method, part=""):
    return sum(a.method == method and part in a.path for a in self.asked)

  def _run(self, ready):
    asyncio.set_event_loop(self._loop)
    runner = web.AppRunner(self._app(), shutdown_timeout=0.1)
    self._loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    self._loop.run_until_complete(site.start())
    self.port = site._server.sockets[0].getsockname()[1]
    self.url = f"http://127.0.0.1:{self.port}"
    ready.set()
    self._loop.run_forever()
    self._loop.run_until_complete(runner.cleanup())
    self._loop.close()

  def _app(self):
    app = web.Application(client_max_size=1 << 30, middlewares=[self._note])
    repo = "/api/{kind:(?:model|dataset)s}/{user}/{name}"
    app.add_routes(
      [
        web.post("/api/repos/create", self._create),
        web.post("/api/validate-yaml", self._validate),
        web.get(repo, self._info),
        web.get(repo + "/revision/{revision}", self._info),
        web.get(repo + "/tree/{revision}", self._tree),
        web.post(repo + "/preupload/{revision}", self._preupload),
        web.post(repo + "/commit/{revision}", self._commit),
        web.put("/store/{oid}", self._store),
        web.get("/cdn/{oid}", self._cdn),
      ]
    )
    for kind, prefix in (("models", ""), ("datasets", "/datasets")):
      base = prefix + "/{user}/{name}"
      app.router.add_post(base + ".git/info/lfs/objects/batch", self._batch)
      app.router.add_get(
        base + "/resolve/{revision}/{path:.+}",
        functools.partial(self._resolve, kind),
      )
    return app

  @web.middleware
  async def _note(self, request, handler):
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    asked = Asked(request.method, request.path, request.host, given or None)
    self.asked.append(asked)
    if request.content_type == "application/json":
      asked.values = await request.json()
    if self.status:
      return _error(self.status, "", "the double was told to")
    if given not in ("", TOKEN):
      text = "Invalid credentials in Authorization header"
      return _error(401, "", text)
    return await handler(request)

  def _of(self, request, kind=None):
    """The repository, or the answer that there is none."""
    kind = (kind or request.match_info["kind"]).removesuffix("s")
    name = f"{request.match_info['user']}/{request.match_info['name']}"
    repo = self.repos.get((kind, name))
    known = request.headers.get("authorization") == f"Bearer {TOKEN}"
    if repo is None or (repo.private and not known):
      status = 404 if known else 401
      return None, _error(status, "RepoNotFound", "Repository not found")
    revision = request.match_info.get("revision", "main")
    if revision not in ("main", repo.sha):
      return None, _error(404, "RevisionNotFound", f"Invalid rev {revision}")
    return repo, None

  async def _create(self, request):
    asked = await request.json()
    if asked["organization"] != USER:
      text = "You don't have the rights to create a model here"
      return _error(403, "", text)
    kind = asked.get("type", "model")
    key = kind, f"{USER}/{asked['name']}"
    url = f"{self.url}/{'datasets/' * (kind == 'dataset')}{key[1]}"
    if key in self.repos:
      return web.json_response({"url": url, "error": "exists"}, status=409)
    private = asked.get("visibility") == "private" and not self.creates_public
    self.repos[key] = Repo(private)
    return web.json_response({"url": url})

  async def _validate(self, request):
    asked = await request.json()
    assert asked["content"].startswith("---\n")
    return web.json_response({"warnings": [], "errors": []})

  async def _info(self, request):
    repo, error = self._of(request)
    if error:
      return error
    name = f"{request.match_info['user']}/{request.match_info['name']}"
    values = {"id": name, "private": repo.private, "sha": repo.sha}
    siblings = [{"rfilename": name} for name in sorted(repo.files)]
    return web.json_response(values | {"siblings": siblings, "tags": []})

  async def _tree(self, request):
    repo, error = self._of(request)
    if error:
      return error
    deep = request.query.get("recursive", "").lower() in ("true", "1")
    entries, folders = [], set()
    for name, data in sorted(repo.files.items()):
      folder = name.rpartition("/")[0]
      if folder:
        folders.add(folder if deep else name.partition("/")[0])
      if folder and not deep:
        continue
      entry = {"type": "file", "path": name, "size": len(data)}
      entry["oid"] = _blob(data)
      if name in repo.large:
        lfs = {"oid": repo.large[name], "size": len(data), "pointerSize": 130}
        entry |= {"oid": "9" * 40, "lfs": lfs}
      entries.append(entry)
    entries += [
      {"type": "directory", "path": name, "oid": "8" * 40} for name in folders
    ]
    return web.json_response(entries)

  async def _preupload(self, request):
    repo, error = self._of(request)
    if error:
      return error
    del repo
    asked = await request.json()
    return web.json_response(
      {
        "files": [
          {
            "path": file["path"],
            "uploadMode": "lfs"
            if b"\0" in base64.b64decode(file["sample"])
            else "regular",
            "shouldIgnore": False,
          }
          for file in asked["files"]
        ]
      }
    )

  async def _batch(self, request):
    asked = await request.json()
    objects = []
    for one in asked["objects"]:
      if one["oid"] not in self.blobs:
        href = f"{self.url}/store/{one['oid']}"
        one = one | {"actions": {"upload": {"href": href}}}
      objects.append(one)
    return web.json_response({"transfer": "basic", "objects": objects})

  async def _store(self, request):
    data = b""
    async for chunk in request.content.iter_chunked(1 << 16):
      data += chunk
      if self.cut_after is not None and len(data) > self.cut_after:
        self.cuts += 1
        request.transport.abort()
        return web.Response()
    oid = request.match_info["oid"]
    if hashlib.sha256(data).hexdigest() != oid:
      return web.Response(status=400)
    self.blobs[oid] = data
    return web.Response()

  async def _commit(self, request):
    repo, error = self._of(request)
    if error:
      return error
    lines = [json.loads(x) for x in (await request.text()).splitlines()]
    for line in lines:
      value = line["value"]
      if line["key"] == "lfsFile":
        if value["oid"] not in self.blobs:
          return _error(400, "", f"{value['path']} was never sent")
        repo.large[value["path"]] = value["oid"]
        repo.files[value["path"]] = self.blobs[value["oid"]]
      elif line["key"] == "file":
        repo.files[value["path"]] = base64.b64decode(value["content"])
    repo.commits += 1
    name = f"{request.match_info['user']}/{request.match_info['name']}"
    url = f"{self.url}/{name}/commit/{repo.sha}"
    return web.json_response({"commitUrl": url, "commitOid": repo.sha})

  async def _resolve(self, kind, request):
    repo, error = self._of(request, kind)
    if error:
      return error
    name = request.match_info["path"]
    if name not in repo.files:
      return _error(404, "EntryNotFound", "Entry not found")
    data = repo.files[name]
    headers = {"X-Repo-Commit": repo.sha, "ETag": f'"{_blob(data)}"'}
    if name in repo.large:  # as the Hub: on another host, without the token
      oid = repo.large[name]
      self.blobs[oid] = data
      headers |= {"X-Linked-Etag": f'"{oid}"'}
      headers |= {"X-Linked-Size": str(len(data))}
      headers["Location"] = f"http://localhost:{self.port}/cdn/{oid}"
      return web.Response(status=302, headers=headers)
    return await self._answer(request, data, headers)

  async def _cdn(self, request):
    return await self._answer(
      request, self.blobs[request.match_info["oid"]], {}
    )

  async def _answer(self, request, data, headers):
    if request.method == "HEAD" or not self.endless:
      return web.Response(body=data, headers=headers)
    response = web.StreamResponse(headers=headers)
    response.enable_chunked_encoding()
    await response.prepare(request)
    try:
      while True:
        await response.write(b"\0" * (1 << 16))
    except (ConnectionError, asyncio.CancelledError):
      return response


def _blob(data):
  return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _error(status, code, text):
  headers = {"X-Error-Message": text} | ({"X-Error-Code": code} if code else {})
  return web.json_response({"error": text}, status=status, headers=headers)
