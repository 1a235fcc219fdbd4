// Creatures: their numbers, the party, the dex and the bag.

#include "party.h"

#include "memory.h"
#include "video.h"
#include "world.h"
#include "world_data.h"

#define PARTY_LIMIT 6
#define NAME_LENGTH 11

uint8_t stat_hp(uint8_t species, uint8_t level) {
  const Species *kind = &species_table[species];
  return kind->hp + kind->hp_growth * level;
}

void copy_name(uint8_t *to, uint8_t species) {
  const uint8_t *from = species_table[species].name;
  uint8_t count = NAME_LENGTH - 1;
  while (*from != TEXT_END && count) {
    *to++ = *from++;
    count--;
  }
  *to = TEXT_END;
}

// Numbers of a member at `level`; a rise in the HP limit heals as much.
void member_set_level(uint8_t slot, uint8_t level) {
  Member *member = &party[slot];
  const Species *kind = &species_table[member->species];
  uint8_t limit = stat_hp(member->species, level);
  member->hp[1] += limit - member->max_hp[1];
  member->max_hp[1] = limit;
  member->level = level;
  member->box_level = level;
  member->attack[1] = kind->attack + level;
  member->defense[1] = kind->defense + level;
  member->speed[1] = kind->speed + level;
  member->special[1] = level;
}

// Returns 0 where the party is full: the newcomer then waits at home.
uint8_t party_add(uint8_t species, uint8_t level) {
  uint8_t slot = party_size;
  uint8_t i;
  uint8_t *bytes = (uint8_t *)&party[slot];
  dex_mark(dex_seen, species);
  dex_mark(dex_owned, species);
  if (slot == PARTY_LIMIT) return 0;
  for (i = 0; i < sizeof(Member); i++) bytes[i] = 0;
  party[slot].species = species;
  party[slot].catch_rate = species_table[species].catch_rate;
  party[slot].moves[0] = 1;
  party[slot].pp[0] = 35;
  party[slot].xp[2] = (uint8_t)xp_of_level[level];
  party[slot].xp[1] = (uint8_t)(xp_of_level[level] >> 8);
  member_set_level(slot, level);
  copy_name(party_names + slot * NAME_LENGTH, species);
  party_species[slot] = species;
  party_species[slot + 1] = 0xFF;
  party_size = slot + 1;
  return 1;
}

void party_heal(void) {
  uint8_t slot;
  for (slot = 0; slot < party_size; slot++) {
    party[slot].hp[1] = party[slot].max_hp[1];
  }
  if (lanterns() < START_LANTERNS) set_lanterns(START_LANTERNS);
}

// Slot of the first member that can fight, or the party size.
uint8_t party_first_able(void) {
  uint8_t slot;
  for (slot = 0; slot < party_size; slot++) {
    if (party[slot].hp[1]) break;
  }
  return slot;
}

void dex_mark(uint8_t *dex, uint8_t species) {
  uint8_t bit = species - 1;
  dex[bit >> 3] |= (uint8_t)(1 << (bit & 7));
}

uint8_t lanterns(void) { return bag_count ? bag_items[1] : 0; }

void set_lanterns(uint8_t count) {
  if (count) {
    bag_count = 1;
    bag_items[0] = LANTERN;
    bag_items[1] = count;
    bag_items[2] = 0xFF;
  } else {
    bag_count = 0;
    bag_items[0] = 0xFF;
  }
}

void set_flag(uint8_t flag) {
  event_flags[flag >> 3] |= (uint8_t)(1 << (flag & 7));
}
