"""Who may talk to the server, and how much.

A page of another site can send requests to this machine, and a name of its own
can be made to stand for it: so the name that a browser asked for is looked at
(`Host`), and the site that a connection comes from (`Origin`).
"""

from collections.abc import Iterable
import ipaddress
import urllib.parse

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# The page asks for nothing from elsewhere, and nobody shows it in a frame.
HEADERS = {
  "Content-Security-Policy": (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
  ),
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "Cache-Control": "no-store",
}


def allowed_names(address: str, others: Iterable[str] = ()) -> frozenset[str]:
  """Names by which a browser may ask for the server.

  Args:
    address: that it listens on.
    others: names that its user gives it; any port of them.
  """
  names = {*LOOPBACK, *(name.lower() for name in others)}
  if address not in ("0.0.0.0", "::"):
    names.add(address.lower())
  return frozenset(names)


def is_loopback(address: str) -> bool:
  """Whether nobody but this machine reaches an address."""
  if address == "localhost":
    return True
  try:
    return ipaddress.ip_address(address).is_loopback
  except ValueError:
    return False


def host_name(host: str) -> str:
  """The name in a `Host` header, without its port; "" where there is none."""
  try:
    parts = urllib.parse.urlsplit(f"//{host}")
    _ = parts.port  # raises where it is no number
  except ValueError:
    return ""
  if parts.netloc != host or "@" in host or parts.path:
    return ""
  return (parts.hostname or "").lower()


def may_ask(host: str, names: frozenset[str]) -> bool:
  """Whether a request of this `Host` is answered."""
  return host_name(host) in names


def may_connect(host: str, origin: str | None) -> bool:
  """Whether a socket of this `Origin` is opened.

  Browsers always name one. Whoever names none is a program of this machine's
  user, which needs no browser to get here.
  """
  if origin is None:
    return True
  try:
    parts = urllib.parse.urlsplit(origin)
  except ValueError:
    return False
  same = parts.netloc.lower() == host.lower()
  return parts.scheme in ("http", "https") and same


class Bucket:
  """How many messages may come: so many a second, and some at once."""

  def __init__(self, per_s: float, at_once: float):
    self._per_s, self._most = per_s, at_once
    self._left, self._last_s = at_once, 0.0

  def take(self, now_s: float, count: float = 1.0) -> bool:
    """Whether one more may; it counts only if so."""
    passed_s = max(0.0, now_s - self._last_s)
    self._left = min(self._most, self._left + passed_s * self._per_s)
    self._last_s = now_s
    if self._left < count:
      return False
    self._left -= count
    return True
