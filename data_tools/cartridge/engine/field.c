// Walking about: maps, the camera, people, warps and encounters.
//
// The player stands at cell (4, 4) of the 10 x 9 cells of the screen. A step
// takes 16 frames; what follows it (the next map, a battle) is drawn into the
// hidden tile map meanwhile and shown at once when the step ends.

#include "field.h"

#include "battle.h"
#include "hardware.h"
#include "memory.h"
#include "party.h"
#include "text.h"
#include "video.h"
#include "view.h"
#include "world.h"
#include "world_data.h"

#define VIEW_COLUMNS 10
#define VIEW_ROWS 9
#define VIEW_X 4
#define VIEW_Y 4
#define STEP_FRAMES 16
#define FLIP_X 0x20
#define BEHIND 0x80

// Sprites 0..5 are the player: down, up, left, standing then walking.
#define PLAYER_DOWN 0
#define PLAYER_UP 2
#define PLAYER_LEFT 4

uint8_t game_won;

static const Map *map;
static uint8_t camera_x, camera_y;  // cell at the top left of the screen
static uint8_t ring_x, ring_y;  // tile-map place of the top left screen tile
static uint8_t edge[2 * SCREEN_COLUMNS];
static uint8_t foot;
static uint8_t interrupted;  // by a text or a battle

static uint8_t cell_at(uint8_t x, uint8_t y) {
  if (x >= map->width || y >= map->height) return map->border;
  return map->cells[(uint16_t)y * map->width + x];
}

// Ten cells as two rows of tiles, 40 ids. Coordinates wrap below 0.
static void draw_cell_row(uint8_t *to, uint8_t x, uint8_t y) {
  uint8_t *below = to + SCREEN_COLUMNS;
  uint8_t count = VIEW_COLUMNS;
  uint8_t cell;
  uint8_t width = y < map->height ? map->width : 0;
  const uint8_t *row = map->cells + (uint16_t)y * map->width;
  const uint8_t *tiles;
  do {
    cell = x < width ? row[x] : map->border;
    tiles = metatiles + ((uint16_t)cell << 2);
    *to++ = *tiles++;
    *to++ = *tiles++;
    *below++ = *tiles++;
    *below++ = *tiles;
    x++;
  } while (--count);
}

// All cells that the camera sees.
static void draw_view(uint8_t *to) {
  uint8_t row;
  for (row = 0; row < VIEW_ROWS; row++) {
    draw_cell_row(to, camera_x, camera_y + row);
    to += 2 * SCREEN_COLUMNS;
  }
}

void restore_screen_tiles(void) { draw_view(screen_tiles); }

// A row or column of tiles into the ring that the background map is.
static void queue_ring(uint8_t column, uint8_t row, const uint8_t *tiles,
                       uint8_t count, uint8_t stride) {
  uint8_t room = 32 - (stride == 1 ? column : row);
  uint16_t base = shown_map();
  uint16_t to = base + (uint16_t)row * 32 + column;
  if (room >= count) {
    queue(to, tiles, count, stride);
    return;
  }
  queue(to, tiles, room, stride);
  to = stride == 1 ? base + (uint16_t)row * 32 : base + column;
  queue(to, tiles + room, count - room, stride);
}

static void queue_edge_row(uint8_t view_row) {
  uint8_t row = (ring_y + view_row * 2) & 31;
  draw_cell_row(edge, camera_x, camera_y + view_row);
  queue_ring(ring_x, row, edge, SCREEN_COLUMNS, 1);
  queue_ring(ring_x, row + 1, edge + SCREEN_COLUMNS, SCREEN_COLUMNS, 1);
}

static void queue_edge_column(uint8_t view_column) {
  uint8_t column = (ring_x + view_column * 2) & 31;
  uint8_t x = camera_x + view_column;
  uint8_t y = camera_y;
  uint8_t i;
  const uint8_t *tiles;
  for (i = 0; i < SCREEN_ROWS; i += 2) {
    tiles = metatiles + ((uint16_t)cell_at(x, y) << 2);
    edge[i] = tiles[0];
    edge[i + SCREEN_ROWS] = tiles[1];
    edge[i + 1] = tiles[2];
    edge[i + SCREEN_ROWS + 1] = tiles[3];
    y++;
  }
  queue_ring(column, ring_y, edge, SCREEN_ROWS, 32);
  queue_ring(column + 1, ring_y, edge + SCREEN_ROWS, SCREEN_ROWS, 32);
}

// Four hardware sprites make one 16 x 16 figure.
static void put_figure(uint8_t slot, uint8_t x, uint8_t y, uint8_t sprite,
                       uint8_t flags) {
  uint8_t *to = sprite_memory + (slot << 4);
  uint8_t tile = sprite << 2;
  uint8_t left = flags & FLIP_X ? 1 : 0;
  uint8_t upper = flags & FLIP_X;
  *to++ = y;
  *to++ = x;
  *to++ = tile + left;
  *to++ = upper;
  *to++ = y;
  *to++ = x + 8;
  *to++ = tile + 1 - left;
  *to++ = upper;
  *to++ = y + 8;
  *to++ = x;
  *to++ = tile + 2 + left;
  *to++ = flags;
  *to++ = y + 8;
  *to++ = x + 8;
  *to++ = tile + 3 - left;
  *to++ = flags;
}

static void hide_figure(uint8_t slot) {
  uint8_t *to = sprite_memory + (slot << 4);
  to[0] = to[4] = to[8] = to[12] = 0;
}

static void put_player(uint8_t walking) {
  uint8_t sprite = PLAYER_DOWN;
  uint8_t flags = 0;
  if (facing == FACE_UP) sprite = PLAYER_UP;
  if (facing >= FACE_LEFT) sprite = PLAYER_LEFT;
  if (facing == FACE_RIGHT) flags = FLIP_X;
  if (walking) {
    sprite++;
    if (facing < FACE_LEFT && foot) flags = FLIP_X;
  }
  // Tall grass hides the lower half.
  if (!walking && (cell_flags[cell_at(player_x, player_y)] & CELL_GRASS)) {
    flags |= BEHIND;
  }
  put_figure(0, VIEW_X * 16 + 8, VIEW_Y * 16 + 16, sprite, flags);
}

// People within one cell of the screen; the rest is hidden.
void place_people(void) {
  uint8_t i, x, y;
  const Person *person = map->people;
  for (i = 0; i < map->num_people; i++) {
    x = person->x - player_x + VIEW_X + 1;
    y = person->y - player_y + VIEW_Y + 1;
    if (person->sprite == NO_SPRITE || x > VIEW_COLUMNS + 1 ||
        y > VIEW_ROWS + 1) {
      hide_figure(i + 1);
    } else {
      put_figure(i + 1, (x << 4) - 8, y << 4, person->sprite, 0);
    }
    person++;
  }
  for (i++; i < 10; i++) hide_figure(i);
  put_player(0);
}

void hide_people_below(uint8_t cell_row) {
  uint8_t i;
  for (i = 1; i < 10; i++) {
    if (sprite_memory[i << 4] >= (uint8_t)(cell_row * 16)) hide_figure(i);
  }
}

void hide_sprites(void) {
  uint8_t i;
  for (i = 0; i < 10; i++) hide_figure(i);
}

static void set_map(uint8_t number, uint8_t x, uint8_t y) {
  map = &maps[number];
  if (number != map_id) last_map = map_id;
  map_id = number;
  player_x = x;
  player_y = y;
  player_x_in_block = x & 1;
  player_y_in_block = y & 1;
  map_width = map->width;
  map_height = map->height;
}

// Draws what a player at (x, y) of a map will see; shown later.
static void compose_map(const Map *next, uint8_t x, uint8_t y) {
  const Map *here = map;
  map = next;
  camera_x = x - VIEW_X;
  camera_y = y - VIEW_Y;
  draw_view(next_screen);
  map = here;
}

// Parts 0..4 carry the composed map to a tile map that is not seen.
static void stage_map(uint16_t to, uint8_t part) {
  uint8_t row = part * 4;
  uint8_t count = part == 4 ? 2 : 4;
  const uint8_t *from = next_screen + row * SCREEN_COLUMNS;
  to += (uint16_t)row * 32;
  while (count) {
    queue(to, from, SCREEN_COLUMNS, 1);
    to += 32;
    from += SCREEN_COLUMNS;
    count--;
  }
}

static void show_map(uint8_t number, uint8_t x, uint8_t y) {
  set_map(number, x, y);
  copy_bytes(screen_tiles, next_screen, NUM_SCREEN_TILES);
  ring_x = 0;
  ring_y = 0;
  scroll_x = 0;
  scroll_y = 0;
  place_people();
}

// From under a window that covers the screen: title or battle.
void enter_map(uint8_t number, uint8_t x, uint8_t y) {
  uint8_t part;
  compose_map(&maps[number], x, y);
  for (part = 0; part < 5; part++) {
    stage_map(shown_map(), part);
    frame();
  }
  show_map(number, x, y);
  window_off();
  frame();
}

static const Warp *warp_at(uint8_t x, uint8_t y) {
  uint8_t i;
  const Warp *warp = map->warps;
  for (i = map->num_warps; i; i--) {
    if (warp->x == x && warp->y == y) return warp;
    warp++;
  }
  return 0;
}

static const Person *person_at(uint8_t x, uint8_t y) {
  uint8_t i;
  const Person *person = map->people;
  for (i = map->num_people; i; i--) {
    if (person->x == x && person->y == y) return person;
    person++;
  }
  return 0;
}

static void choose_wild(uint8_t *species, uint8_t *level) {
  const Habitat *habitat = map->habitats;
  uint8_t draw = random_byte();
  uint8_t left = map->num_habitats;
  uint8_t span;
  while (left > 1 && draw >= habitat->weight) {
    draw -= habitat->weight;
    habitat++;
    left--;
  }
  *species = habitat->species;
  span = habitat->high - habitat->low + 1;
  draw = random_byte() & 15;
  while (draw >= span) draw -= span;
  *level = habitat->low + draw;
}

static void step(uint8_t dx, uint8_t dy) {
  uint8_t i, slot, wild, species, level;
  uint8_t x = player_x + dx, y = player_y + dy;
  uint8_t *sprite;
  const Warp *warp = warp_at(x, y);
  wild = (cell_flags[cell_at(x, y)] & CELL_GRASS) &&
         random_byte() < map->encounter_rate;
  if (wild) {
    choose_wild(&species, &level);
    battle_prepare_wild(species, level);
  }
  walk_counter = 8;
  player_x_in_block ^= dx & 1;
  player_y_in_block ^= dy & 1;
  foot ^= 1;
  put_player(1);
  for (i = 0; i < STEP_FRAMES; i++) {
    if (i == 0) {
      camera_x += dx;
      camera_y += dy;
      ring_x = (ring_x + dx + dx) & 31;
      ring_y = (ring_y + dy + dy) & 31;
      if (dx) queue_edge_column(dx == 1 ? VIEW_COLUMNS - 1 : 0);
      if (dy) queue_edge_row(dy == 1 ? VIEW_ROWS - 1 : 0);
    } else if (warp) {
      if (i == 1) compose_map(&maps[warp->map], warp->to_x, warp->to_y);
      if (i > 1 && i < 7) stage_map(hidden_map(), i - 2);
    } else if (wild) {
      battle_stage(i);
    }
    scroll_x += dx;
    scroll_y += dy;
    sprite = sprite_memory + 16;
    for (slot = map->num_people << 2; slot; slot--) {
      if (sprite[0]) {
        sprite[0] -= dy;
        sprite[1] -= dx;
      }
      sprite += 4;
    }
    if (i == STEP_FRAMES - 6) put_player(0);
    frame();
    if (i & 1) walk_counter--;
  }
  if (warp) {
    swap_maps();
    show_map(warp->map, warp->to_x, warp->to_y);
    return;
  }
  player_x = x;
  player_y = y;
  if (!wild) {
    restore_screen_tiles();
    place_people();
    return;
  }
  battle_run();
  interrupted = 1;
}

static void walk(uint8_t keys) {
  uint8_t dx = 0, dy = 0;
  if (keys & KEY_DOWN) {
    facing = FACE_DOWN;
    dy = 1;
  } else if (keys & KEY_UP) {
    facing = FACE_UP;
    dy = 0xFF;
  } else if (keys & KEY_LEFT) {
    facing = FACE_LEFT;
    dx = 0xFF;
  } else {
    facing = FACE_RIGHT;
    dx = 1;
  }
  if (!(cell_flags[cell_at(player_x + dx, player_y + dy)] & CELL_WALKABLE) ||
      person_at(player_x + dx, player_y + dy)) {
    put_player(0);
    return;
  }
  step(dx, dy);
}

static void talk(void) {
  uint8_t x = player_x, y = player_y;
  const Person *person;
  if (facing == FACE_DOWN) y++;
  if (facing == FACE_UP) y--;
  if (facing == FACE_LEFT) x--;
  if (facing == FACE_RIGHT) x++;
  person = person_at(x, y);
  if (!person) return;
  interrupted = 1;
  if (person->role == ROLE_LEADER) {
    text_say(person->text);
    set_flag(person->flag);
    text_close();
    battle_prepare_trainer(person->argument);
    for (x = 1; x < STEP_FRAMES; x++) {
      battle_stage(x);
      frame();
    }
    battle_run();
    return;
  }
  text_say(person->text);
  set_flag(person->flag);
  if (person->role == ROLE_HEALER) {
    party_heal();
    blackout_map = map_id;
    text_say(text_healed);
  }
  text_close();
}

// A direction that was already held when a text or battle ended counts only
// after its release: steps begin with the press, so that they end in time.
void field_play(void) {
  uint8_t stale = 0;
  for (;;) {
    frame();
    stale &= keys_held;
    interrupted = 0;
    if (keys_new & KEY_A) {
      talk();
    } else if (keys_held & (uint8_t)~stale & KEY_DIRECTIONS) {
      walk(keys_held & (uint8_t)~stale);
    }
    if (interrupted) stale = keys_held;
    if (game_won) return;
  }
}
