"""Who may talk to the server."""

import pytest

from experiments.serving import guards

_NAMES = guards.allowed_names("127.0.0.1", ["Box.example"])


@pytest.mark.parametrize(
  ("host", "may"),
  [
    ("127.0.0.1:8600", True),
    ("localhost:9000", True),  # another port at the end of a tunnel
    ("localhost", True),
    ("[::1]:8600", True),
    ("LOCALHOST:1", True),
    ("box.example:80", True),
    ("evil.example:8600", False),
    ("127.0.0.1.evil.example", False),
    ("localhost.evil.example:8600", False),
    ("evil@localhost", False),
    ("localhost/evil", False),
    ("localhost:x", False),
    ("[::1", False),
    ("", False),
    ("0.0.0.0:8600", False),
  ],
)
def test_names_are_those_of_this_machine(host, may):
  assert guards.may_ask(host, _NAMES) == may


@pytest.mark.parametrize(
  ("origin", "may"),
  [
    (None, True),
    ("http://localhost:8600", True),
    ("https://localhost:8600", True),
    ("http://localhost:8601", False),
    ("http://127.0.0.1:8600", False),  # not the name that was asked for
    ("http://evil.example", False),
    ("null", False),
    ("", False),
    ("file://localhost:8600", False),
    ("http://[", False),
  ],
)
def test_a_socket_is_opened_by_the_page_itself(origin, may):
  assert guards.may_connect("localhost:8600", origin) == may


def test_an_address_that_is_asked_for_is_a_name_too():
  assert "192.0.2.7" in guards.allowed_names("192.0.2.7")
  assert "0.0.0.0" not in guards.allowed_names("0.0.0.0")
  assert guards.is_loopback("127.0.0.2") and guards.is_loopback("::1")
  assert guards.is_loopback("localhost")
  assert not guards.is_loopback("0.0.0.0") and not guards.is_loopback("box")


def test_a_bucket_fills_again():
  bucket = guards.Bucket(2.0, 3.0)
  assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
  assert bucket.take(100.5) and not bucket.take(100.5)
  assert not bucket.take(99.0)  # a clock that goes back gives nothing
