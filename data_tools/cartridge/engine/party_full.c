// Creatures of a full world: numbers, moves, growth; the bag, money, flags.

#include "party.h"

#include "memory.h"
#include "party_full.h"
#include "video.h"
#include "world_data.h"

#define NAME_LENGTH 11
#define BAG_LIMIT 20
#define COUNT_LIMIT 99
#define MONEY_LIMIT 9999

Species kind;
Move move;
static uint8_t kind_number;

void load_kind(uint8_t species) {
  if (species == kind_number) return;
  kind_number = species;
  far_copy(&kind, SPECIES_BANK,
           SPECIES_AT + (uint16_t)species * RECORD_BYTES, sizeof(Species));
}

void load_move(uint8_t number) {
  far_copy(&move, MOVES_BANK, MOVES_AT + (uint16_t)number * MOVE_BYTES,
           sizeof(Move));
}

uint8_t stat_hp(uint8_t species, uint8_t level) {
  load_kind(species);
  return kind.hp + kind.hp_growth * level;
}

void copy_name(uint8_t *to, uint8_t species) {
  uint8_t i;
  load_kind(species);
  for (i = 0; i < sizeof(kind.name); i++) *to++ = kind.name[i];
}

// Numbers of a member at `level`; a rise in the HP limit heals as much.
void member_set_level(uint8_t slot, uint8_t level) {
  Member *member = &party[slot];
  uint8_t limit = stat_hp(member->species, level);
  member->hp[1] += limit - member->max_hp[1];
  member->max_hp[1] = limit;
  member->level = level;
  member->box_level = level;
  member->type1 = member->type2 = kind.type;
  member->attack[1] = kind.attack + level;
  member->defense[1] = kind.defense + level;
  member->speed[1] = kind.speed + level;
  member->special[1] = level;
}

// The oldest move makes room; returns 0 for a move that is known.
uint8_t member_learns(uint8_t slot, uint8_t number) {
  uint8_t i;
  uint8_t *moves = party[slot].moves;
  for (i = 0; i < MAX_MOVES; i++) {
    if (moves[i] == number) return 0;
  }
  for (i = 0; i < MAX_MOVES && moves[i]; i++) {
  }
  if (i == MAX_MOVES) {
    for (i = 0; i < MAX_MOVES - 1; i++) moves[i] = moves[i + 1];
  }
  moves[i] = number;
  party[slot].pp[i] = 35;
  return 1;
}

static void name_member(uint8_t slot) {
  Member *member = &party[slot];
  copy_name(party_names + slot * NAME_LENGTH, member->species);
  member->catch_rate = kind.catch_rate;
  party_species[slot] = member->species;
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
  party[slot].xp[2] = (uint8_t)xp_of_level[level];
  party[slot].xp[1] = (uint8_t)(xp_of_level[level] >> 8);
  member_set_level(slot, level);
  for (i = 0; i < kind.num_moves; i++) {
    if (kind.moves[i + i + 1] <= level) member_learns(slot, kind.moves[i + i]);
  }
  name_member(slot);
  party_species[slot + 1] = 0xFF;
  party_size = slot + 1;
  return 1;
}

// Species that a member is due to become, 0 for none.
uint8_t member_evolution(uint8_t slot) {
  load_kind(party[slot].species);
  if (!kind.evolves_into || party[slot].level < kind.evolves_level) return 0;
  return kind.evolves_into;
}

void member_evolve(uint8_t slot) {
  Member *member = &party[slot];
  member->species = member_evolution(slot);
  member_set_level(slot, member->level);
  name_member(slot);
  dex_mark(dex_seen, member->species);
  dex_mark(dex_owned, member->species);
}

void party_heal(void) {
  uint8_t slot;
  for (slot = 0; slot < party_size; slot++) {
    party[slot].hp[1] = party[slot].max_hp[1];
  }
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

// The bag holds pairs of item id and count; 0xFF ends it.
static uint8_t *bag_find(uint8_t id) {
  uint8_t i;
  uint8_t *pair = bag_items;
  for (i = bag_count; i; i--) {
    if (*pair == id) return pair;
    pair += 2;
  }
  return 0;
}

uint8_t bag_count_of(uint8_t id) {
  const uint8_t *pair = bag_find(id);
  return pair ? pair[1] : 0;
}

void bag_add(uint8_t id, uint8_t count) {
  uint8_t *pair = bag_find(id);
  if (!pair) {
    if (bag_count == BAG_LIMIT) return;
    pair = bag_items + bag_count + bag_count;
    pair[0] = id;
    pair[1] = 0;
    pair[2] = 0xFF;
    bag_count++;
  }
  pair[1] += count;
  if (pair[1] > COUNT_LIMIT) pair[1] = COUNT_LIMIT;
}

// One less; the last one leaves no gap.
void bag_remove(uint8_t id) {
  uint8_t *pair = bag_find(id);
  if (!pair || --pair[1]) return;
  bag_count--;
  while (pair != bag_items + bag_count + bag_count) {
    pair[0] = pair[2];
    pair[1] = pair[3];
    pair += 2;
  }
  pair[0] = 0xFF;
}

uint8_t lanterns(void) { return bag_count_of(LANTERN); }

void set_lanterns(uint8_t count) {
  bag_items[bag_count + bag_count] = 0xFF;
  bag_add(LANTERN, count);
}

const Item *item_of(uint8_t id) {
  uint8_t i;
  for (i = 0; i < NUM_ITEMS - 1; i++) {
    if (items[i].id == id) break;
  }
  return &items[i];
}

void set_flag(uint8_t flag) {
  if (flag == NONE) return;
  event_flags[flag >> 3] |= (uint8_t)(1 << (flag & 7));
}

uint8_t flag_is_set(uint8_t flag) {
  return event_flags[flag >> 3] & (uint8_t)(1 << (flag & 7));
}

// Money is binary-coded decimal, most significant byte first.
static uint8_t from_decimal(uint8_t byte) {
  return (byte >> 4) * 10 + (byte & 15);
}

static uint8_t to_decimal(uint8_t value) {
  return (uint8_t)((value / 10) << 4) | (value % 10);
}

uint16_t money_hundreds(void) {
  return (uint16_t)from_decimal(money[0]) * 100 + from_decimal(money[1]);
}

void set_money_hundreds(uint16_t hundreds) {
  if (hundreds > MONEY_LIMIT) hundreds = MONEY_LIMIT;
  money[0] = to_decimal((uint8_t)(hundreds / 100));
  money[1] = to_decimal((uint8_t)(hundreds % 100));
}

void halve_money(void) {
  uint8_t i, carry = 0, value;
  for (i = 0; i < 3; i++) {
    value = from_decimal(money[i]);
    if (carry) value += 100;
    carry = value & 1;
    money[i] = to_decimal(value >> 1);
  }
}

uint8_t num_badges(void) {
  uint8_t count = 0, left;
  for (left = badges; left; left &= left - 1) count++;
  return count;
}

uint8_t num_owned(void) {
  uint8_t i, count = 0;
  for (i = 0; i < NUM_SPECIES; i++) {
    if (dex_owned[i >> 3] & (uint8_t)(1 << (i & 7))) count++;
  }
  return count;
}
