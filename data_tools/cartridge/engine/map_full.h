// The map that is loaded: its cells with a rim of what lies around, its
// people, warps and doors; tilesets; drawing.
#ifndef MAP_FULL_H
#define MAP_FULL_H

#include <stdint.h>

#include "world_full.h"

#define VIEW_COLUMNS 10
#define VIEW_ROWS 9
#define VIEW_X 4
#define VIEW_Y 4

extern MapHead map;
extern Warp warps[MAX_WARPS];
extern Person people[MAX_PEOPLE];
extern Door doors[MAX_DOORS];
extern Habitat habitats[MAX_HABITATS];
extern Connection connections[MAX_CONNECTIONS];
extern uint8_t metatiles[4 * MAX_CELLS];
extern uint8_t cell_flags[MAX_CELLS];

void load_map(uint8_t number);
void load_tileset(void);
uint8_t flags_at(uint8_t x, uint8_t y);
uint8_t cell_at(uint8_t x, uint8_t y);
void draw_cell_row(uint8_t *to, uint8_t x, uint8_t y);
void draw_view(uint8_t *to, uint8_t x, uint8_t y);
const Warp *warp_at(uint8_t x, uint8_t y);
uint8_t person_is_there(uint8_t number);
uint8_t person_at(uint8_t x, uint8_t y);
const Door *shut_door_at(uint8_t x, uint8_t y);
const Connection *connection_at(uint8_t x, uint8_t y);
void flicker(void);
void fade_out(void);
void fade_in(void);

#endif
