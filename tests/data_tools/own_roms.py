"""Small ROMs of our own, for tests."""

from data_tools import cartridge
from data_tools.game import roms

_CLOCK_PROGRAM = bytes(
  [
    *(0x3E, 0x0A, 0xEA, 0x00, 0x00),  # enable the cartridge's RAM and clock
    *(0x3E, 0x00, 0xEA, 0x00, 0x60),  # loop: latch the clock, 0 and then 1
    *(0x3E, 0x01, 0xEA, 0x00, 0x60),
    *(0x3E, 0x08, 0xEA, 0x00, 0x40),  # choose the seconds
    *(0xFA, 0x00, 0xA0, 0xE0, 0x47),  # show them as the background palette
    *(0x18, 0xEA),  # again
  ]
)


def mended(data):
  """The bytes with the checksums that belong to them."""
  data = bytearray(data)
  data[0x14D] = roms.header_checksum(data)
  data[0x14E:0x150] = roms.global_checksum(data)
  return bytes(data)


def hanging():
  """A game whose program is illegal: PyBoy never ends its first frame."""
  data = bytearray(cartridge.CHAPTER_ONE.read_bytes())
  data[0x134:0x143] = b"HANGS".ljust(15, b"\0")
  data[0x150:] = bytes([0xD3]) * (len(data) - 0x150)
  return mended(data)


def with_clock():
  """A game that shows the seconds of the clock in its cartridge."""
  data = bytearray(cartridge.CHAPTER_ONE.read_bytes()[:0x150].ljust(0x8000))
  data[0x100:0x104] = bytes([0x00, 0xC3, 0x50, 0x01])  # nop; jp 0x150
  data[0x134:0x143] = b"OWNCLOCK".ljust(15, b"\0")
  data[0x147:0x14A] = bytes([0x10, 0, 0x02])  # MBC3, timer, RAM, battery
  data[0x150 : 0x150 + len(_CLOCK_PROGRAM)] = _CLOCK_PROGRAM
  return mended(data)
