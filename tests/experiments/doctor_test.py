"""The doctor names what is wrong, with its fix, and when it stops a run."""

import os
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized

from data_tools.game import roms
from data_tools.system import processors
from experiments import doctor
from experiments.machine import memory
from experiments.machine import processes


class DoctorTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  def run_doctor(self, *arguments):
    return subprocess.run(
      [sys.executable, "-m", "experiments.doctor", *arguments],
      capture_output=True,
      text=True,
      env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )

  def test_a_sound_machine_passes(self):
    done = self.run_doctor(f"--workdir={self.folder / 'new'}")
    self.assertEqual(done.returncode, 0, done.stderr)
    self.assertNotIn("STOP", done.stdout)
    self.assertIn(roms.resolve(None).sha1, done.stdout)
    self.assertFalse((self.folder / "new").exists())  # it only looks

  def test_a_missing_rom_and_a_full_disk_stop(self):
    done = self.run_doctor(
      f"--workdir={self.folder}",
      "--rom=/nowhere/red.gb",
      "--need_disk_mib=1000000000",
    )
    self.assertEqual(done.returncode, 1)
    stops = [line for line in done.stdout.splitlines() if "STOP" in line]
    self.assertLen(stops, 2)
    self.assertIn("free some, or give a --workdir", stops[0])
    self.assertIn("/nowhere/red.gb", stops[1])
    self.assertIn("disk, rom", done.stderr)

  def test_what_a_run_has_written_it_no_longer_needs(self):
    (self.folder / "data").write_bytes(os.urandom(4 << 20))
    (self.folder / "config.json").write_text("{}")
    usage = mock.Mock(free=10 << 20)
    with mock.patch("shutil.disk_usage", return_value=usage):
      finding = doctor.check_disk(self.folder, 12 << 20)
      self.assertEqual(finding.status, doctor.OK, finding.text)
      finding = doctor.check_disk(self.folder / "new", 12 << 20)
      self.assertEqual(finding.status, doctor.PROBLEM, finding.text)

  def test_an_unknown_game_is_named_with_what_it_lacks(self):
    rom = self.folder / "other.gb"
    data = bytearray(roms.resolve(None).path.read_bytes())
    data[0x150] ^= 1  # outside the header
    data[0x14E:0x150] = roms.global_checksum(data)
    rom.write_bytes(data)
    finding = doctor.check_rom(str(rom))
    self.assertEqual(finding.status, doctor.NOTE)
    self.assertIn("frames only", finding.text)

  def test_a_missing_codec_is_no_reason_to_stop(self):
    with mock.patch("experiments.reports.video.CODEC", "none"):
      finding = doctor.check_video()
    self.assertEqual(finding.status, doctor.NOTE)
    self.assertIn("WebP", finding.text)

  @parameterized.parameters(
    ("dev/nvidia0", "NVIDIA GPU", "requirements-cuda13.txt"),
    ("dev/accel0", "TPU", "requirements-tpu.txt"),
  )
  def test_an_idle_accelerator_is_named(self, device, name, fix):
    (self.folder / "dev").mkdir()
    self.assertIsNone(doctor.unused_accelerator(str(self.folder)))
    (self.folder / device).touch()
    with mock.patch.dict(os.environ, {"JAX_PLATFORMS": ""}):
      found, how = doctor.unused_accelerator(str(self.folder))
    self.assertIn(name, found)
    self.assertIn(fix, how)
    with mock.patch.dict(os.environ, {"JAX_PLATFORMS": "cpu"}):
      _, how = doctor.unused_accelerator(str(self.folder))
    self.assertEqual(how, "unset JAX_PLATFORMS")

  def test_a_folder_that_cannot_be_written_stops(self):
    finding = doctor.check_workdir(pathlib.Path("/proc/nowhere"))
    self.assertEqual(finding.status, doctor.PROBLEM)

  def test_cores_and_memory_are_counted(self):
    self.assertBetween(processors.available(), 1, os.cpu_count())
    self.assertGreater(memory.available(), 2**20)


class ProcessesTest(absltest.TestCase):
  def test_the_peak_includes_children(self):
    # The parent sleeps; its child holds 200 MiB for a while.
    child = "import time; b = bytearray(200 * 2**20); time.sleep(1)"
    script = (
      "import subprocess, sys\n"
      f"subprocess.run([sys.executable, '-c', {child!r}])\n"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as process:
      with processes.PeakMemory(process.pid, every_s=0.05) as memory:
        process.wait()
    self.assertBetween(memory.peak_bytes, 200 * 2**20, 320 * 2**20)

  def test_disk_is_summed_over_folders(self):
    with tempfile.TemporaryDirectory() as folder:
      (pathlib.Path(folder) / "inner").mkdir()
      (pathlib.Path(folder) / "inner" / "file").write_bytes(b"x" * 100_000)
      self.assertBetween(processes.disk_bytes(folder), 100_000, 200_000)


if __name__ == "__main__":
  absltest.main()
