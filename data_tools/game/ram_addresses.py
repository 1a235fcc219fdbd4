"""Where the state of the game lies in memory, and which bytes are copied.

Addresses are those of Pokemon Red and Blue (USA, Europe); the practice
cartridge keeps its state at the same places. Multi-byte numbers are
big-endian unless said otherwise. `RANGES` are the spans that a worker copies
on every step, joined to one row of `RAM_BYTES` bytes; `column` says where in
that row an address lands.
"""

import bisect
import functools

PLAYER_FACING = 0xC109  # 0 down, 4 up, 8 left, 12 right
SCREEN_TILES = 0xC3A0  # 18 rows of 20 tile ids: what is drawn
SCREEN_COLUMNS, SCREEN_ROWS = 20, 18
TILE_BYTES = 16
# Clocks of the great vale's engine (`clocks.py`): 17 and 2 bytes.
TILE_CLOCK, FIGURE_CLOCK = 0xCB08, 0xCB4B
# The program's stack, as deep as waits reach.
STACK, STACK_BYTES = 0xDFA0, 0x60
MENU_ITEM = 0xCC26  # row of the cursor in the current menu, 0 at the top
ACTIVE_SLOT = 0xCC2F  # who of the party fights, from 0; stale outside battle
JOY_IGNORE = 0xCD6B  # buttons masked off by a script
BATTLE_RESULT = 0xCF0B  # 0 win or default, 1 lost, 2 ran or caught
FONT_LOADED = 0xCFC4  # bit 0: an overworld text or menu is open
WALK_COUNTER = 0xCFC5  # above 0 while a step is animated
ENEMY_SPECIES = 0xCFE5
ENEMY_HP = 0xCFE6  # u16
ENEMY_LEVEL = 0xCFF3
ENEMY_MAX_HP = 0xCFF4  # u16
IN_BATTLE = 0xD057  # 0 none, 1 wild, 2 trainer, 255 just blacked out
BATTLE_TYPE = 0xD05A  # 0 normal, 1 tutorial, 2 safari
ESCAPED_FROM_BATTLE = 0xD078  # an effect ended the battle without a winner
CAPTURED_SPECIES = 0xD11C  # above 0 while the text of a catch is shown
TEXT_BOX_ID = 0xD125  # the LAST box drawn, never cleared: no dialog signal
PARTY_SIZE = 0xD163
PARTY_SPECIES = 0xD164  # 6 bytes; those beyond the party size are stale
PARTY = 0xD16B  # 6 structures of PARTY_STRIDE bytes
PARTY_SLOTS, PARTY_STRIDE = 6, 0x2C
HP_OFFSET, OT_ID_OFFSET, XP_OFFSET = 0x01, 0x0C, 0x0E  # u16, u16, u24
DVS_OFFSET, LEVEL_OFFSET, MAX_HP_OFFSET = 0x1B, 0x21, 0x22  # u16, u8, u16
DEX_OWNED = 0xD2F7  # 19 bytes, one bit a species
DEX_SEEN = 0xD30A
DEX_BYTES = 19
BAG_COUNT = 0xD31D  # kinds of items carried
BAG_ITEMS = 0xD31E  # 20 pairs of item id and number; those beyond are stale
BAG_SLOTS = 20
CAPTURE_ITEMS = (1, 2, 3, 4)  # ids of the items that catch
HEAL_ITEMS = (16, 17, 18, 19, 20)  # ids of the items that give back HP
MONEY = 0xD347  # 3 bytes, two decimal digits each
BADGE_FLAGS = 0xD356
MAP_ID = 0xD35E
PLAYER_Y = 0xD361
PLAYER_X = 0xD362
# Parities of both, which change when a step begins; those when it is walked.
PLAYER_Y_IN_BLOCK, PLAYER_X_IN_BLOCK = 0xD363, 0xD364
HALL_OF_FAME = 0xD5A2  # above 0: the game is beaten
STATUS_FLAGS_5 = 0xD730  # scripted movement and switched-off buttons
STATUS_FLAGS_6 = 0xD732  # bit 0: a game is running
EVENT_FLAGS = 0xD747
EVENT_FLAG_BYTES = 320
SCROLL_Y, SCROLL_X = 0xFF42, 0xFF43  # registers of the screen
# Another one: the shades of colours 0 to 3, two bits each, the lowest first.
PALETTE = 0xFF47

HP_ADDRESSES = tuple(
  PARTY + HP_OFFSET + PARTY_STRIDE * slot for slot in range(PARTY_SLOTS)
)
MAX_HP_ADDRESSES = tuple(
  PARTY + MAX_HP_OFFSET + PARTY_STRIDE * slot for slot in range(PARTY_SLOTS)
)

# Corners of the standard message box, rows 12 to 17 of the screen.
MESSAGE_BOX = ((0xC490, 0x79), (0xC4A3, 0x7B), (0xC4F4, 0x7D), (0xC507, 0x7E))
BOX_ROWS, BOX_COLUMNS = slice(13, 17), slice(1, 19)  # its inside
CURSOR_TILE = 0xED  # the arrow beside a menu entry
TIMES_TILE = 0xF1  # before a number of items
# Tiles of the box that are no letters of its text: borders and blank, cursors,
# the arrow that blinks below a page, and digits, which are no part of wording.
WORDLESS_TILES = bytes(
  (*range(0x79, 0x80), 0xEC, CURSOR_TILE, 0xEE, *range(0xF6, 0x100))
)
# Columns of the box in which the move menu has its cursor: in the practice
# cartridges, whose bag opens at the same place, and in Pokemon Red.
MOVE_MENU_COLUMNS = (1, 5)
ITEM_COUNT_COLUMN = 14  # of that bag
SAFARI_BATTLE = 2  # value of BATTLE_TYPE; its menu is at those columns too
# Bits of STATUS_FLAGS_5 under which a script, not the player, moves.
SCRIPTED_BITS = 0xA1
# Event flags that can be bought or switched back and forth: no progress.
TOGGLING_EVENT_FLAGS = (104, 632)  # museum ticket, mansion switch

FACING_NAMES = {0: "down", 4: "up", 8: "left", 12: "right"}

# (first address, bytes), in rising order and apart from each other.
RANGES = (
  (PLAYER_FACING, 1),
  (SCREEN_TILES, SCREEN_COLUMNS * SCREEN_ROWS),
  (TILE_CLOCK, 1 + TILE_BYTES),
  (FIGURE_CLOCK, 2),
  (MENU_ITEM, 1),
  (ACTIVE_SLOT, 1),
  (JOY_IGNORE, 1),
  (BATTLE_RESULT, 1),
  (FONT_LOADED, 2),
  (ENEMY_SPECIES, ENEMY_MAX_HP + 2 - ENEMY_SPECIES),
  (IN_BATTLE, BATTLE_TYPE + 1 - IN_BATTLE),
  (ESCAPED_FROM_BATTLE, 1),
  (CAPTURED_SPECIES, 1),
  (PARTY_SIZE, 8 + PARTY_SLOTS * PARTY_STRIDE),
  (DEX_OWNED, 2 * DEX_BYTES),
  (BAG_COUNT, 1 + 2 * BAG_SLOTS),
  (MONEY, 3),
  (BADGE_FLAGS, PLAYER_X_IN_BLOCK + 1 - BADGE_FLAGS),
  (HALL_OF_FAME, 1),
  (STATUS_FLAGS_5, 3),
  (EVENT_FLAGS, EVENT_FLAG_BYTES),
  (STACK, STACK_BYTES),
  (SCROLL_Y, 2),
  (PALETTE, 1),
)
RAM_BYTES = sum(length for _, length in RANGES)

_STARTS = tuple(start for start, _ in RANGES)
_COLUMNS = tuple(
  sum(length for _, length in RANGES[:i]) for i in range(len(RANGES))
)


def screen_tile(row: int, column: int) -> int:
  """Address of a tile that is drawn, of 18 rows and 20 columns."""
  return SCREEN_TILES + SCREEN_COLUMNS * row + column


@functools.cache
def column(address: int) -> int:
  """Index of `address` in a copied row of `RAM_BYTES` bytes.

  Raises:
    KeyError: the address lies in none of `RANGES`.
  """
  i = bisect.bisect_right(_STARTS, address) - 1
  if i < 0 or address >= _STARTS[i] + RANGES[i][1]:
    raise KeyError(f"address 0x{address:04X} is not among the copied ranges")
  return _COLUMNS[i] + address - _STARTS[i]


# Maps of Pokemon Red and Blue by id; the practice cartridge brings its own.
MAP_NAMES = {
  0x00: "Pallet Town",
  0x01: "Viridian City",
  0x02: "Pewter City",
  0x03: "Cerulean City",
  0x04: "Lavender Town",
  0x05: "Vermilion City",
  0x06: "Celadon City",
  0x07: "Fuchsia City",
  0x08: "Cinnabar Island",
  0x09: "Indigo Plateau",
  0x0A: "Saffron City",
  0x0B: "Unused Map 0B",
  0x0C: "Route 1",
  0x0D: "Route 2",
  0x0E: "Route 3",
  0x0F: "Route 4",
  0x10: "Route 5",
  0x11: "Route 6",
  0x12: "Route 7",
  0x13: "Route 8",
  0x14: "Route 9",
  0x15: "Route 10",
  0x16: "Route 11",
  0x17: "Route 12",
  0x18: "Route 13",
  0x19: "Route 14",
  0x1A: "Route 15",
  0x1B: "Route 16",
  0x1C: "Route 17",
  0x1D: "Route 18",
  0x1E: "Route 19",
  0x1F: "Route 20",
  0x20: "Route 21",
  0x21: "Route 22",
  0x22: "Route 23",
  0x23: "Route 24",
  0x24: "Route 25",
  0x25: "Red's House 1F",
  0x26: "Red's House 2F",
  0x27: "Blue's House",
  0x28: "Oak's Lab",
  0x29: "Viridian Pokemon Center",
  0x2A: "Viridian Poke Mart",
  0x2B: "Viridian School House",
  0x2C: "Viridian Nickname House",
  0x2D: "Viridian Gym",
  0x2E: "Diglett's Cave Route 2 Entrance",
  0x2F: "Viridian Forest North Gate",
  0x30: "Route 2 Trade House",
  0x31: "Route 2 Gate",
  0x32: "Viridian Forest South Gate",
  0x33: "Viridian Forest",
  0x34: "Pewter Museum 1F",
  0x35: "Pewter Museum 2F",
  0x36: "Pewter Gym",
  0x37: "Pewter Nidoran House",
  0x38: "Pewter Poke Mart",
  0x39: "Pewter Speech House",
  0x3A: "Pewter Pokemon Center",
  0x3B: "Mt. Moon 1F",
  0x3C: "Mt. Moon B1F",
  0x3D: "Mt. Moon B2F",
  0x3E: "Cerulean Trashed House",
  0x3F: "Cerulean Trade House",
  0x40: "Cerulean Pokemon Center",
  0x41: "Cerulean Gym",
  0x42: "Cerulean Bike Shop",
  0x43: "Cerulean Poke Mart",
  0x44: "Mt. Moon Pokemon Center",
  0x45: "Cerulean Trashed House Copy",
  0x46: "Route 5 Gate",
  0x47: "Underground Path Route 5",
  0x48: "Day Care",
  0x49: "Route 6 Gate",
  0x4A: "Underground Path Route 6",
  0x4B: "Underground Path Route 6 Copy",
  0x4C: "Route 7 Gate",
  0x4D: "Underground Path Route 7",
  0x4E: "Underground Path Route 7 Copy",
  0x4F: "Route 8 Gate",
  0x50: "Underground Path Route 8",
  0x51: "Rock Tunnel Pokemon Center",
  0x52: "Rock Tunnel 1F",
  0x53: "Power Plant",
  0x54: "Route 11 Gate 1F",
  0x55: "Diglett's Cave Route 11 Entrance",
  0x56: "Route 11 Gate 2F",
  0x57: "Route 12 Gate 1F",
  0x58: "Bill's House",
  0x59: "Vermilion Pokemon Center",
  0x5A: "Vermilion Pokemon Fan Club",
  0x5B: "Vermilion Poke Mart",
  0x5C: "Vermilion Gym",
  0x5D: "Vermilion Pidgey House",
  0x5E: "Vermilion Dock",
  0x5F: "S.S. Anne 1F",
  0x60: "S.S. Anne 2F",
  0x61: "S.S. Anne 3F",
  0x62: "S.S. Anne B1F",
  0x63: "S.S. Anne Bow",
  0x64: "S.S. Anne Kitchen",
  0x65: "S.S. Anne Captain's Room",
  0x66: "S.S. Anne 1F Rooms",
  0x67: "S.S. Anne 2F Rooms",
  0x68: "S.S. Anne B1F Rooms",
  0x69: "Unused Map 69",
  0x6A: "Unused Map 6A",
  0x6B: "Unused Map 6B",
  0x6C: "Victory Road 1F",
  0x6D: "Unused Map 6D",
  0x6E: "Unused Map 6E",
  0x6F: "Unused Map 6F",
  0x70: "Unused Map 70",
  0x71: "Lance's Room",
  0x72: "Unused Map 72",
  0x73: "Unused Map 73",
  0x74: "Unused Map 74",
  0x75: "Unused Map 75",
  0x76: "Hall Of Fame",
  0x77: "Underground Path North-South",
  0x78: "Champion's Room",
  0x79: "Underground Path West-East",
  0x7A: "Celadon Department Store 1F",
  0x7B: "Celadon Department Store 2F",
  0x7C: "Celadon Department Store 3F",
  0x7D: "Celadon Department Store 4F",
  0x7E: "Celadon Department Store Roof",
  0x7F: "Celadon Department Store Elevator",
  0x80: "Celadon Mansion 1F",
  0x81: "Celadon Mansion 2F",
  0x82: "Celadon Mansion 3F",
  0x83: "Celadon Mansion Roof",
  0x84: "Celadon Mansion Roof House",
  0x85: "Celadon Pokemon Center",
  0x86: "Celadon Gym",
  0x87: "Celadon Game Corner",
  0x88: "Celadon Department Store 5F",
  0x89: "Celadon Game Corner Prize Room",
  0x8A: "Celadon Diner",
  0x8B: "Celadon Chief House",
  0x8C: "Celadon Hotel",
  0x8D: "Lavender Pokemon Center",
  0x8E: "Pokemon Tower 1F",
  0x8F: "Pokemon Tower 2F",
  0x90: "Pokemon Tower 3F",
  0x91: "Pokemon Tower 4F",
  0x92: "Pokemon Tower 5F",
  0x93: "Pokemon Tower 6F",
  0x94: "Pokemon Tower 7F",
  0x95: "Mr. Fuji's House",
  0x96: "Lavender Poke Mart",
  0x97: "Lavender Cubone House",
  0x98: "Fuchsia Poke Mart",
  0x99: "Fuchsia Bill's Grandpa's House",
  0x9A: "Fuchsia Pokemon Center",
  0x9B: "Warden's House",
  0x9C: "Safari Zone Gate",
  0x9D: "Fuchsia Gym",
  0x9E: "Fuchsia Meeting Room",
  0x9F: "Seafoam Islands B1F",
  0xA0: "Seafoam Islands B2F",
  0xA1: "Seafoam Islands B3F",
  0xA2: "Seafoam Islands B4F",
  0xA3: "Vermilion Old Rod House",
  0xA4: "Fuchsia Good Rod House",
  0xA5: "Pokemon Mansion 1F",
  0xA6: "Cinnabar Gym",
  0xA7: "Cinnabar Lab",
  0xA8: "Cinnabar Lab Trade Room",
  0xA9: "Cinnabar Lab Metronome Room",
  0xAA: "Cinnabar Lab Fossil Room",
  0xAB: "Cinnabar Pokemon Center",
  0xAC: "Cinnabar Poke Mart",
  0xAD: "Cinnabar Poke Mart Copy",
  0xAE: "Indigo Plateau Lobby",
  0xAF: "Copycat's House 1F",
  0xB0: "Copycat's House 2F",
  0xB1: "Saffron Fighting Dojo",
  0xB2: "Saffron Gym",
  0xB3: "Saffron Pidgey House",
  0xB4: "Saffron Poke Mart",
  0xB5: "Silph Co. 1F",
  0xB6: "Saffron Pokemon Center",
  0xB7: "Mr. Psychic's House",
  0xB8: "Route 15 Gate 1F",
  0xB9: "Route 15 Gate 2F",
  0xBA: "Route 16 Gate 1F",
  0xBB: "Route 16 Gate 2F",
  0xBC: "Route 16 Fly House",
  0xBD: "Route 12 Super Rod House",
  0xBE: "Route 18 Gate 1F",
  0xBF: "Route 18 Gate 2F",
  0xC0: "Seafoam Islands 1F",
  0xC1: "Route 22 Gate",
  0xC2: "Victory Road 2F",
  0xC3: "Route 12 Gate 2F",
  0xC4: "Vermilion Trade House",
  0xC5: "Diglett's Cave",
  0xC6: "Victory Road 3F",
  0xC7: "Rocket Hideout B1F",
  0xC8: "Rocket Hideout B2F",
  0xC9: "Rocket Hideout B3F",
  0xCA: "Rocket Hideout B4F",
  0xCB: "Rocket Hideout Elevator",
  0xCC: "Unused Map CC",
  0xCD: "Unused Map CD",
  0xCE: "Unused Map CE",
  0xCF: "Silph Co. 2F",
  0xD0: "Silph Co. 3F",
  0xD1: "Silph Co. 4F",
  0xD2: "Silph Co. 5F",
  0xD3: "Silph Co. 6F",
  0xD4: "Silph Co. 7F",
  0xD5: "Silph Co. 8F",
  0xD6: "Pokemon Mansion 2F",
  0xD7: "Pokemon Mansion 3F",
  0xD8: "Pokemon Mansion B1F",
  0xD9: "Safari Zone East",
  0xDA: "Safari Zone North",
  0xDB: "Safari Zone West",
  0xDC: "Safari Zone Center",
  0xDD: "Safari Zone Center Rest House",
  0xDE: "Safari Zone Secret House",
  0xDF: "Safari Zone West Rest House",
  0xE0: "Safari Zone East Rest House",
  0xE1: "Safari Zone North Rest House",
  0xE2: "Cerulean Cave 2F",
  0xE3: "Cerulean Cave B1F",
  0xE4: "Cerulean Cave 1F",
  0xE5: "Name Rater's House",
  0xE6: "Cerulean Badge House",
  0xE7: "Unused Map E7",
  0xE8: "Rock Tunnel B1F",
  0xE9: "Silph Co. 9F",
  0xEA: "Silph Co. 10F",
  0xEB: "Silph Co. 11F",
  0xEC: "Silph Co. Elevator",
  0xED: "Unused Map ED",
  0xEE: "Unused Map EE",
  0xEF: "Cable Club Trade Center",
  0xF0: "Cable Club Colosseum",
  0xF1: "Unused Map F1",
  0xF2: "Unused Map F2",
  0xF3: "Unused Map F3",
  0xF4: "Unused Map F4",
  0xF5: "Lorelei's Room",
  0xF6: "Bruno's Room",
  0xF7: "Agatha's Room",
}
