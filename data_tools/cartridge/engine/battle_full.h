// Parts of battles of a full world that other modules use.
#ifndef BATTLE_FULL_H
#define BATTLE_FULL_H

#include <stdint.h>

uint8_t choose_member(const uint8_t *question, uint8_t cancels);
void draw_stats(uint8_t slot);

#endif
