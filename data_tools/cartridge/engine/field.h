// Walking about: maps, the camera, people, warps and encounters.
#ifndef FIELD_H
#define FIELD_H

#include <stdint.h>

extern uint8_t game_won;

void enter_map(uint8_t map, uint8_t x, uint8_t y);
void restore_screen_tiles(void);
void place_people(void);
void hide_people_below(uint8_t cell_row);
void hide_sprites(void);
void field_play(void);

#endif
