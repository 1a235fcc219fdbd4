// What a full world adds to `party.h`: moves, growth, the bag, money, flags.
#ifndef PARTY_FULL_H
#define PARTY_FULL_H

#include <stdint.h>

#include "world_full.h"

#define PARTY_LIMIT 6
#define MAX_MOVES 4
#define CANCEL 0xFF

extern Species kind;  // the species that `load_kind` read last
extern Move move;     // the move that `load_move` read last

void load_kind(uint8_t species);
void load_move(uint8_t number);
uint8_t member_learns(uint8_t slot, uint8_t number);
uint8_t member_evolution(uint8_t slot);
void member_evolve(uint8_t slot);
uint8_t bag_count_of(uint8_t id);
void bag_add(uint8_t id, uint8_t count);
void bag_remove(uint8_t id);
const Item *item_of(uint8_t id);
uint8_t flag_is_set(uint8_t flag);
uint16_t money_hundreds(void);
void set_money_hundreds(uint16_t hundreds);
void halve_money(void);
uint8_t num_badges(void);
uint8_t num_owned(void);

#endif
