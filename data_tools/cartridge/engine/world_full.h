// Tables of a full world: records as they lie in the ROM's banks
// (rom_banks.py writes them), and the small tables of `world_data.c`.
#ifndef WORLD_FULL_H
#define WORLD_FULL_H

#include <stdint.h>

#define NONE 0xFF  // no flag, no badge, no sprite, nothing that flickers

typedef struct {
  uint8_t bank;
  uint16_t at;
} Place;

typedef struct {
  uint8_t width, height;
  uint8_t border;  // cell outside the map
  uint8_t tileset;
  uint8_t encounter_rate;  // of 256, for each step where wild ones live
  uint8_t wild_everywhere;
  uint8_t num_warps, num_people, num_doors, num_habitats, num_connections;
  uint8_t cells_bank;
  uint16_t cells;
} MapHead;

typedef struct {
  uint8_t x, y;
  uint8_t map, to_x, to_y;
} Warp;

#define ROLE_TALK 0
#define ROLE_HEALER 1
#define ROLE_LEADER 2
#define ROLE_TRAINER 3
#define ROLE_SHOP 4
#define ROLE_ITEM 5

typedef struct {
  uint8_t x, y;
  uint8_t sprite;  // NONE for a sign
  uint8_t role;
  uint8_t argument;  // number of the trainer; of a shop: its goods as bits
  uint8_t flag;      // set when spoken to, given, taken from or taken
  uint8_t looks;  // a value of `facing`
  uint8_t sight;         // cells
  uint8_t needs_badges;  // refuses with fewer
  uint8_t gives, count;  // an item id and how many, once
  uint8_t takes;
  uint8_t sets, until, from;  // story flags or NONE
  uint16_t text, after, refuse, taken;  // in the text bank, 0 for none
} Person;

// Shut until its flag is set.
typedef struct {
  uint8_t x, y;
  uint8_t flag;
  uint16_t text;
} Door;

typedef struct {
  uint8_t species;
  uint8_t low, high;  // levels, both included
  uint8_t weight;     // of 256, summed over the table
} Habitat;

#define EDGE_NORTH 0
#define EDGE_SOUTH 1
#define EDGE_WEST 2
#define EDGE_EAST 3

// A neighbouring map, and the rectangle of it that is seen from here.
typedef struct {
  uint8_t edge;
  uint8_t map;
  uint8_t offset;  // added to the coordinate along the edge, wraps
  uint8_t arrive;  // the other coordinate there
  uint8_t bank, stride, columns, rows;
  uint16_t from, to;
} Connection;

#define MAX_WARPS 20
#define MAX_PEOPLE 9
#define MAX_DOORS 4
#define MAX_HABITATS 6
#define MAX_CONNECTIONS 4
#define MAX_CELLS 48

typedef struct {
  uint8_t num_tiles, num_cells;
  uint8_t flicker;  // tile that moves, or NONE
} TilesetHead;      // then 4 tile ids a cell, flags, 16 bytes a tile

#define CELL_WALKABLE 1
#define CELL_GRASS 2
#define CELL_LEDGE_DOWN 4
#define CELL_LEDGE_LEFT 8
#define CELL_LEDGE_RIGHT 16
#define CELL_COUNTER 32

#define RECORD_BYTES 32
#define MOVE_BYTES 16
#define MAX_LEARNED 6

typedef struct {
  uint8_t name[9];
  uint8_t hp, hp_growth;               // at level 0, and points a level
  uint8_t attack, defense, speed;      // at level 0
  uint8_t catch_rate;                  // of 256, at full HP
  uint8_t xp;                          // yield, times level
  uint8_t type;
  uint8_t evolves_into, evolves_level;  // 0: it does not
  uint8_t num_moves;
  uint8_t moves[2 * MAX_LEARNED];  // pairs of move, level
} Species;

typedef struct {
  uint8_t name[11];
  uint8_t type;
  uint8_t power;
  uint8_t accuracy;  // of 256
} Move;

typedef struct {
  uint8_t name[9];
  uint8_t kind;   // value of `trainer_class`
  uint8_t badge;  // bit of `badges`, or NONE
  uint8_t prize;  // hundreds
  uint8_t size;
  uint8_t team[8];  // pairs of species, level
  uint16_t won_text;
  uint8_t flag;  // set by beating it
  uint8_t ends_game;
} Trainer;

#define KIND_LANTERN 0
#define KIND_SALVE 1
#define KIND_KEY 2

typedef struct {
  uint8_t name[11];
  uint8_t id, kind;
  uint8_t price;  // hundreds, 0: not sold
  uint8_t heal;
} Item;

// Where a player wakes after a blackout; map 0 ends the table.
typedef struct {
  uint8_t map, x, y;
} Respawn;

extern const Place map_places[];  // index 0 is unused
extern const Place tileset_places[];
extern const uint8_t effects[];  // attacker x defender, 2 is neutral
extern const Item items[];
extern const uint16_t xp_of_level[];
extern const Respawn respawns[];

void far_copy(void *to, uint8_t bank, uint16_t from, uint16_t count);

#endif
