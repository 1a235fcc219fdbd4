// The tables that the generator writes (`world_data.c`), and their types.
#ifndef WORLD_H
#define WORLD_H

#include <stdint.h>

typedef struct {
  uint8_t x, y;
  uint8_t map, to_x, to_y;
} Warp;

#define ROLE_TALK 0
#define ROLE_HEALER 1
#define ROLE_LEADER 2

typedef struct {
  uint8_t x, y;
  uint8_t sprite;  // NO_SPRITE for a sign
  uint8_t role;
  uint8_t argument;  // index of the trainer, for a leader
  uint8_t flag;      // event flag set when the text was read
  const uint8_t *text;
} Person;

#define NO_SPRITE 0xFF

typedef struct {
  uint8_t species;
  uint8_t low, high;  // levels, both included
  uint8_t weight;     // of 256, summed over the table
} Habitat;

typedef struct {
  uint8_t width, height;
  uint8_t border;  // metatile outside the map
  uint8_t encounter_rate;  // of 256, for each step onto tall grass
  const uint8_t *cells;
  uint8_t num_warps;
  const Warp *warps;
  uint8_t num_people;
  const Person *people;
  uint8_t num_habitats;
  const Habitat *habitats;
} Map;

typedef struct {
  const uint8_t *name;
  uint8_t hp, attack, defense, speed;  // at level 0
  uint8_t hp_growth;                   // points a level
  uint8_t catch_rate;                  // of 256, at full HP
  uint8_t xp;                          // yield, times level
} Species;

typedef struct {
  const uint8_t *name;
  uint8_t kind;        // value of `trainer_class`
  uint8_t badge;       // bit of `badges`
  uint8_t prize;       // BCD hundreds
  uint8_t size;
  const uint8_t *team;  // pairs of species, level
  const uint8_t *won_text;
  uint8_t flag;        // event flag set by beating it
  uint8_t ends_game;
} Trainer;

// Where a player wakes after a blackout: one place for each healer;
// map 0 ends the table.
typedef struct {
  uint8_t map, x, y;
} Respawn;

#define CELL_WALKABLE 1
#define CELL_GRASS 2

extern const uint8_t map_tiles[];     // NUM_MAP_TILES x 16 bytes
extern const uint8_t font_tiles[];    // ids 0x60..0xFF, 16 bytes each
extern const uint8_t sprite_tiles[];  // 64 bytes a sprite
extern const uint8_t pictures[];      // 256 bytes a species; 0 is the title's
extern const uint8_t metatiles[];     // 4 tile ids a cell
extern const uint8_t cell_flags[];
extern const Map maps[];
extern const Species species_table[];  // index 0 is unused
extern const Trainer trainers[];
extern const Respawn respawns[];
extern const uint16_t xp_of_level[];  // total XP at which a level starts

#endif
