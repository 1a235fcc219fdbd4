// Game state at the addresses where Pokemon Red keeps it, so that one table of
// addresses reads both games. Sixteen-bit values are big-endian there; every
// number of this engine fits the low byte, the high byte stays 0.
#ifndef MEMORY_H
#define MEMORY_H

#include <stdint.h>

#define BYTE_AT(address) (*(uint8_t *)(address))
#define BYTES_AT(address) ((uint8_t *)(address))

// One party member, 44 bytes.
typedef struct {
  uint8_t species;
  uint8_t hp[2];
  uint8_t box_level;
  uint8_t status;
  uint8_t type1, type2;
  uint8_t catch_rate;
  uint8_t moves[4];
  uint8_t trainer_id[2];
  uint8_t xp[3];
  uint8_t stat_xp[10];
  uint8_t dvs[2];
  uint8_t pp[4];
  uint8_t level;
  uint8_t max_hp[2];
  uint8_t attack[2], defense[2], speed[2], special[2];
} Member;

// One side of a battle, 29 bytes.
typedef struct {
  uint8_t species;
  uint8_t hp[2];
  uint8_t slot;
  uint8_t status;
  uint8_t type1, type2;
  uint8_t catch_rate;
  uint8_t moves[4];
  uint8_t dvs[2];
  uint8_t level;
  uint8_t max_hp[2];
  uint8_t attack[2], defense[2], speed[2], special[2];
} Fighter;

#define sprite_memory BYTES_AT(0xC300)
#define screen_tiles BYTES_AT(0xC3A0)
#define facing BYTE_AT(0xC109)
#define menu_top_y BYTE_AT(0xCC24)
#define menu_top_x BYTE_AT(0xCC25)
#define menu_item BYTE_AT(0xCC26)
#define menu_max_item BYTE_AT(0xCC28)
#define menu_watched_keys BYTE_AT(0xCC29)
#define active_slot BYTE_AT(0xCC2F)
#define joy_ignore BYTE_AT(0xCD6B)
#define battle_result BYTE_AT(0xCF0B)
#define font_loaded BYTE_AT(0xCFC4)
#define walk_counter BYTE_AT(0xCFC5)
#define foe_name BYTES_AT(0xCFDA)
#define foe (*(Fighter *)0xCFE5)
#define own_name BYTES_AT(0xD009)
#define own (*(Fighter *)0xD014)
#define trainer_class BYTE_AT(0xD031)
#define in_battle BYTE_AT(0xD057)
#define current_opponent BYTE_AT(0xD059)
#define captured_species BYTE_AT(0xD11C)
#define text_box_id BYTE_AT(0xD125)
#define party_size BYTE_AT(0xD163)
#define party_species BYTES_AT(0xD164)
#define party ((Member *)0xD16B)
#define party_names BYTES_AT(0xD2B5)
#define dex_owned BYTES_AT(0xD2F7)
#define dex_seen BYTES_AT(0xD30A)
#define bag_count BYTE_AT(0xD31D)
#define bag_items BYTES_AT(0xD31E)
#define money BYTES_AT(0xD347)
#define badges BYTE_AT(0xD356)
#define map_id BYTE_AT(0xD35E)
#define player_y BYTE_AT(0xD361)
#define player_x BYTE_AT(0xD362)
#define player_y_in_block BYTE_AT(0xD363)
#define player_x_in_block BYTE_AT(0xD364)
#define last_map BYTE_AT(0xD365)
#define map_height BYTE_AT(0xD524)
#define map_width BYTE_AT(0xD525)
#define hall_of_fame BYTE_AT(0xD5A2)
#define blackout_map BYTE_AT(0xD719)
#define badges_copy BYTE_AT(0xD72A)
#define status_flags_5 BYTE_AT(0xD730)
#define status_flags_6 BYTE_AT(0xD732)
#define event_flags BYTES_AT(0xD747)

// Values of `facing`.
#define FACE_DOWN 0
#define FACE_UP 4
#define FACE_LEFT 8
#define FACE_RIGHT 12

// Values of `in_battle`.
#define BATTLE_NONE 0
#define BATTLE_WILD 1
#define BATTLE_TRAINER 2
#define BATTLE_BLACKOUT 0xFF

// Values of `battle_result`.
#define RESULT_WON 0
#define RESULT_LOST 1
#define RESULT_LEFT 2

#endif
