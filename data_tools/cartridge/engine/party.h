// Creatures: their numbers, the party, the dex and the bag.
#ifndef PARTY_H
#define PARTY_H

#include <stdint.h>

#define MAX_LEVEL 40
#define LANTERN 4  // item id of the capture item

void member_set_level(uint8_t slot, uint8_t level);
uint8_t party_add(uint8_t species, uint8_t level);
void party_heal(void);
uint8_t party_first_able(void);
void dex_mark(uint8_t *dex, uint8_t species);
uint8_t lanterns(void);
void set_lanterns(uint8_t count);
void set_flag(uint8_t flag);
uint8_t stat_hp(uint8_t species, uint8_t level);
void copy_name(uint8_t *to, uint8_t species);

#endif
