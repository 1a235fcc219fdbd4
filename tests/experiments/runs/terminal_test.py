from experiments.runs import terminal


def test_keys_and_those_that_come_in_parts():
  keys = b"\x1b[A\x1bOBx?z\r \x1b[5~q"
  whole, rest = terminal.parse_keys(keys)
  assert whole == ["up", "down", "a", "b", "start", "pass", "quit"]
  assert rest == b""
  for cut in range(len(keys) - 6):
    first, rest = terminal.parse_keys(keys[:cut])
    second, rest = terminal.parse_keys(rest + keys[cut:])
    assert first + second == whole and rest == b"", cut


def test_replies_of_a_terminal_are_no_keys():
  late = b"\x1b[A\x1b_Gi=31;ENOENT:bad jklxq\x1b\\\x1b[6;16;8t\x1b[?62;4cx"
  assert terminal.parse_keys(late) == (["up", "a"], b"")
