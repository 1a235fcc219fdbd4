// Walking about: maps, warps and encounters.
#ifndef FIELD_H
#define FIELD_H

#include <stdint.h>

extern uint8_t game_won;

void enter_map(uint8_t map, uint8_t x, uint8_t y);
void field_play(void);

#endif
