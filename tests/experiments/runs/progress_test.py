"""Progress speaks by itself, also while the loop is held up."""

import io
import time

from absl.testing import absltest

from experiments.runs import progress


class _Stream(io.StringIO):
  def isatty(self):
    return False


def _wait_for_lines(stream, count):
  for _ in range(1000):
    if len(stream.getvalue().splitlines()) >= count:
      return True
    time.sleep(0.01)
  return False


class ProgressTest(absltest.TestCase):
  def test_a_held_up_loop_is_not_silent(self):
    stream = _Stream()
    with progress.Progress(
      "model", 100, "updates", every_s=0.02, stream=stream
    ) as bar:
      bar.compiling(about_s=12)
      self.assertIn(
        "model: 0/100 updates, compiling (about 12 s)", stream.getvalue()
      )
      # Nobody calls update, yet more lines come.
      self.assertTrue(_wait_for_lines(stream, 4), stream.getvalue())

  def test_shows_rate_time_left_and_values(self):
    stream = _Stream()
    with progress.Progress(
      "model", 100, "updates", every_s=60, stream=stream
    ) as bar:
      bar.update(1, loss=1.0)
      time.sleep(0.02)
      bar.update(50, loss=0.51234567)
      self.assertGreater(bar.rate(), 0)
    last = stream.getvalue().splitlines()[-1]
    self.assertRegex(
      last, r"^model: 50/100 updates, [\d.,]+/s, \d+ s left, loss 0\.5123$"
    )

  def test_resuming_does_not_count_as_speed(self):
    with progress.Progress(
      "model", 100, start=90, every_s=60, stream=_Stream()
    ) as bar:
      bar.update(91)
      self.assertEqual(bar.rate(), 0.0)  # one mark says nothing yet

  def test_a_terminal_gets_a_bar(self):
    class Terminal(io.StringIO):
      def isatty(self):
        return True

    stream = Terminal()
    with progress.Progress("model", 10, "updates", stream=stream) as bar:
      bar.update(10, loss=0.25)
    self.assertIn("10/10 updates", stream.getvalue())
    self.assertIn("loss 0.25", stream.getvalue())


if __name__ == "__main__":
  absltest.main()
