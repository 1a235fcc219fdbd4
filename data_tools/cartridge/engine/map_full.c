// The map that is loaded: its cells with a rim of what lies around, its
// people, warps and doors; tilesets; drawing.

#include "map_full.h"

#include "hardware.h"
#include "memory.h"
#include "party_full.h"
#include "video.h"
#include "world_data.h"

// The rim is as wide as the screen reaches beyond the player, and a cell more
// to the right and below for a step over the edge (rom_banks.py).
#define PAD_LEFT 5
#define PAD_RIGHT 6
#define PAD_ROWS 5
#define FIELD BYTES_AT(FIELD_AT)
#define FLICKER_FRAMES 21  // not a divisor of an agent step
#define FADE_FRAMES 3

MapHead map;
Warp warps[MAX_WARPS];
Person people[MAX_PEOPLE];
Door doors[MAX_DOORS];
Habitat habitats[MAX_HABITATS];
Connection connections[MAX_CONNECTIONS];
uint8_t metatiles[4 * MAX_CELLS];
uint8_t cell_flags[MAX_CELLS];

static uint8_t stride;
static uint8_t loaded_tileset = NONE;
static uint8_t flicker_tile = NONE, flicker_wait;
static uint8_t flicker_rows[16];
static uint8_t far_reader_bank;
static uint16_t far_reader;

static void read_far(void *to, uint16_t count) {
  if (!count) return;
  far_copy(to, far_reader_bank, far_reader, count);
  far_reader += count;
}

static void copy_rectangle(const Connection *edge) {
  uint16_t from = edge->from;
  uint8_t *to = BYTES_AT(edge->to);
  uint8_t rows;
  for (rows = edge->rows; rows; rows--) {
    far_copy(to, edge->bank, from, edge->columns);
    from += edge->stride;
    to += stride;
  }
}

void load_map(uint8_t number) {
  uint8_t i;
  uint8_t *to = FIELD;
  uint16_t from, count;
  far_reader_bank = map_places[number].bank;
  far_reader = map_places[number].at;
  read_far(&map, sizeof(MapHead));
  read_far(warps, (uint16_t)map.num_warps * sizeof(Warp));
  read_far(people, (uint16_t)map.num_people * sizeof(Person));
  read_far(doors, (uint16_t)map.num_doors * sizeof(Door));
  read_far(habitats, (uint16_t)map.num_habitats * sizeof(Habitat));
  read_far(connections, (uint16_t)map.num_connections * sizeof(Connection));
  stride = map.width + PAD_LEFT + PAD_RIGHT;
  count = (uint16_t)stride * (map.height + 2 * PAD_ROWS);
  do {
    *to++ = map.border;
  } while (--count);
  to = FIELD + (uint16_t)stride * PAD_ROWS + PAD_LEFT;
  from = map.cells;
  for (i = map.height; i; i--) {
    far_copy(to, map.cells_bank, from, map.width);
    from += map.width;
    to += stride;
  }
  for (i = 0; i < map.num_connections; i++) copy_rectangle(&connections[i]);
}

// Cells and tiles of the map's tileset, a few frames long; unseen.
void load_tileset(void) {
  TilesetHead head;
  const Place *place = &tileset_places[map.tileset];
  uint8_t left, count;
  uint16_t address = 0x9000;
  if (map.tileset == loaded_tileset) return;
  loaded_tileset = map.tileset;
  far_reader_bank = place->bank;
  far_reader = place->at;
  read_far(&head, sizeof(TilesetHead));
  read_far(metatiles, (uint16_t)head.num_cells << 2);
  read_far(cell_flags, head.num_cells);
  flicker_tile = head.flicker;
  if (flicker_tile != NONE) {
    far_copy(flicker_rows, far_reader_bank,
             far_reader + ((uint16_t)flicker_tile << 4), 16);
  }
  for (left = head.num_tiles; left; left -= count) {
    count = left > 4 ? 4 : left;
    queue_far(address, far_reader_bank, far_reader, count << 4);
    far_reader += (uint16_t)count << 4;
    address += (uint16_t)count << 4;
    frame();
  }
}

// Coordinates wrap below 0: the rim has them.
uint8_t cell_at(uint8_t x, uint8_t y) {
  return FIELD[(uint16_t)(uint8_t)(y + PAD_ROWS) * stride +
               (uint8_t)(x + PAD_LEFT)];
}

uint8_t flags_at(uint8_t x, uint8_t y) { return cell_flags[cell_at(x, y)]; }

// Ten cells as two rows of tiles, 40 ids.
void draw_cell_row(uint8_t *to, uint8_t x, uint8_t y) {
  uint8_t *below = to + SCREEN_COLUMNS;
  uint8_t count = VIEW_COLUMNS;
  const uint8_t *row = FIELD + (uint16_t)(uint8_t)(y + PAD_ROWS) * stride +
                       (uint8_t)(x + PAD_LEFT);
  const uint8_t *tiles;
  do {
    tiles = metatiles + ((uint16_t)*row++ << 2);
    *to++ = *tiles++;
    *to++ = *tiles++;
    *below++ = *tiles++;
    *below++ = *tiles;
  } while (--count);
}

// What is seen with the cell (x, y) at the top left.
void draw_view(uint8_t *to, uint8_t x, uint8_t y) {
  uint8_t row;
  for (row = 0; row < VIEW_ROWS; row++) {
    draw_cell_row(to, x, y + row);
    to += 2 * SCREEN_COLUMNS;
  }
}

const Warp *warp_at(uint8_t x, uint8_t y) {
  uint8_t i;
  const Warp *warp = warps;
  for (i = map.num_warps; i; i--) {
    if (warp->x == x && warp->y == y) return warp;
    warp++;
  }
  return 0;
}

uint8_t person_is_there(uint8_t number) {
  const Person *person = &people[number];
  if (person->role == ROLE_ITEM && flag_is_set(person->flag)) return 0;
  if (person->until != NONE && flag_is_set(person->until)) return 0;
  return person->from == NONE || flag_is_set(person->from);
}

// Number of whoever stands there, NONE for nobody.
uint8_t person_at(uint8_t x, uint8_t y) {
  uint8_t i;
  for (i = 0; i < map.num_people; i++) {
    if (people[i].x == x && people[i].y == y && person_is_there(i)) return i;
  }
  return NONE;
}

const Door *shut_door_at(uint8_t x, uint8_t y) {
  uint8_t i;
  for (i = 0; i < map.num_doors; i++) {
    if (doors[i].x == x && doors[i].y == y && !flag_is_set(doors[i].flag)) {
      return &doors[i];
    }
  }
  return 0;
}

// The connection that a cell just beyond the edge belongs to, 0 for none.
const Connection *connection_at(uint8_t x, uint8_t y) {
  uint8_t i, edge;
  if (y == 0xFF) {
    edge = EDGE_NORTH;
  } else if (y == map.height) {
    edge = EDGE_SOUTH;
  } else if (x == 0xFF) {
    edge = EDGE_WEST;
  } else if (x == map.width) {
    edge = EDGE_EAST;
  } else {
    return 0;
  }
  for (i = 0; i < map.num_connections; i++) {
    if (connections[i].edge == edge) return &connections[i];
  }
  return 0;
}

// Moves the water a pixel from time to time. Called where a frame's queue has
// room for one tile.
void flicker(void) {
  uint8_t i;
  if (flicker_tile == NONE || ++flicker_wait < FLICKER_FRAMES) return;
  flicker_wait = 0;
  for (i = 0; i < 16; i++) {
    flicker_rows[i] =
        (uint8_t)(flicker_rows[i] << 1) | (uint8_t)(flicker_rows[i] >> 7);
  }
  queue(0x9000 + ((uint16_t)flicker_tile << 4), flicker_rows, 16, 1);
}

static void set_palettes(uint8_t background, uint8_t sprites) {
  uint8_t i;
  bg_palette = background;
  SPRITE_PALETTE_0 = sprites;
  SPRITE_PALETTE_1 = sprites;
  for (i = 0; i < FADE_FRAMES; i++) frame();
}

void fade_out(void) {
  set_palettes(0xF9, 0xF4);
  set_palettes(0xFE, 0xF8);
  set_palettes(0xFF, 0xFC);
}

void fade_in(void) {
  set_palettes(0xFE, 0xF8);
  set_palettes(0xF9, 0xF4);
  set_palettes(0xE4, 0xE0);
}
