import os

import pytest

from experiments.machine import asked_process


class Counter:
  def __init__(self, start):
    if start < 0:
      raise ValueError(f"start {start}")
    self._count = start

  def add(self, number):
    self._count += number
    return self._count

  def process(self):
    return os.getpid()

  def die(self):
    os._exit(7)


def test_an_object_lives_in_a_process_of_its_own():
  with asked_process.AskedProcess(Counter, 10) as process:
    assert process.ask("add", 1) == 11
    process.send("add", 2)
    assert process.answer() == 13
    assert process.ask("process") != os.getpid()
    with pytest.raises(RuntimeError, match="no attribute 'subtract'"):
      process.ask("subtract", 1)
    assert process.ask("add", 0) == 13  # a failed question changes nothing


def test_what_goes_wrong_there_is_told_here():
  with asked_process.AskedProcess(Counter, -1) as process:
    with pytest.raises(RuntimeError, match="ValueError: start -1"):
      process.ask("add", 1)
  with asked_process.AskedProcess(Counter, 0) as process:
    with pytest.raises(RuntimeError, match="exit code 7"):
      process.ask("die")
