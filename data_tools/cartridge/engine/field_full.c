// Walking about a full world: steps, edges, warps, ledges, doors.
//
// A step takes 16 frames, on rough ground 24, a hop down a ledge 32, a warp
// fades out and in: what an agent sees every 24 frames is often on the way.

#include "field.h"

#include "battle.h"
#include "hardware.h"
#include "map_full.h"
#include "memory.h"
#include "party_full.h"
#include "people_full.h"
#include "text.h"
#include "text_full.h"
#include "video.h"
#include "view.h"
#include "view_full.h"
#include "world_data.h"

static uint8_t interrupted;  // by a text, a battle or a warp

static void set_place(uint8_t number, uint8_t x, uint8_t y) {
  if (number != map_id) last_map = map_id;
  map_id = number;
  player_x = x;
  player_y = y;
  player_x_in_block = x & 1;
  player_y_in_block = y & 1;
  map_width = map.width;
  map_height = map.height;
}

// Draws what a player at (x, y) of the loaded map will see; shown later.
static void compose_map(uint8_t x, uint8_t y) {
  camera_x = x - VIEW_X;
  camera_y = y - VIEW_Y;
  draw_view(next_screen, camera_x, camera_y);
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
  set_place(number, x, y);
  copy_bytes(screen_tiles, next_screen, NUM_SCREEN_TILES);
  ring_x = 0;
  ring_y = 0;
  scroll_x = 0;
  scroll_y = 0;
  place_people();
}

// Loads and shows a map while nothing of the old one is seen.
static void change_map(uint8_t number, uint8_t x, uint8_t y) {
  uint8_t part;
  load_map(number);
  load_tileset();
  compose_map(x, y);
  for (part = 0; part < 5; part++) {
    stage_map(shown_map(), part);
    frame();
  }
  show_map(number, x, y);
}

// From under a window that covers the screen: title or battle.
void enter_map(uint8_t number, uint8_t x, uint8_t y) {
  change_map(number, x, y);
  window_off();
  frame();
}

static void go_through(const Warp *warp) {
  uint8_t number = warp->map, x = warp->to_x, y = warp->to_y;
  under_script(1);
  fade_out();
  hide_sprites();
  change_map(number, x, y);
  fade_in();
  under_script(0);
  interrupted = 1;
}

static void choose_wild(uint8_t *species, uint8_t *level) {
  const Habitat *habitat = habitats;
  uint8_t draw = random_byte();
  uint8_t left = map.num_habitats;
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

// Wild creatures come; returns whether one did.
static uint8_t meet_wild(void) {
  uint8_t species, level;
  if (!map.num_habitats) return 0;
  if (!map.wild_everywhere && !(flags_at(player_x, player_y) & CELL_GRASS)) {
    return 0;
  }
  if (random_byte() >= map.encounter_rate) return 0;
  choose_wild(&species, &level);
  battle_prepare_wild(species, level);
  battle_run();
  interrupted = 1;
  return 1;
}

// The camera and the figures over one cell. With a connection, the map behind
// it is loaded and drawn unseen meanwhile.
static void glide(uint8_t dx, uint8_t dy, const Connection *over,
                  const uint8_t *arc) {
  uint8_t i, slot;
  uint8_t x = player_x + dx, y = player_y + dy;
  uint8_t next = 0;
  uint8_t rough = map.wild_everywhere;
  if (over) {
    next = over->map;
    if (over->edge <= EDGE_SOUTH) {
      x += over->offset;
      y = over->arrive;
    } else {
      x = over->arrive;
      y += over->offset;
    }
  }
  for (i = 0; i < STEP_FRAMES; i++) {
    if (i == 0) {
      camera_x += dx;
      camera_y += dy;
      ring_x = (ring_x + dx + dx) & 31;
      ring_y = (ring_y + dy + dy) & 31;
      if (dx) queue_edge_column(dx == 1 ? VIEW_COLUMNS - 1 : 0);
      if (dy) queue_edge_row(dy == 1 ? VIEW_ROWS - 1 : 0);
    } else if (over && i == 1) {
      load_map(next);
      compose_map(x, y);
    } else if (over && i < 7) {
      stage_map(hidden_map(), i - 2);
    } else if (i > 7) {
      flicker();
    }
    scroll_x += dx;
    scroll_y += dy;
    for (slot = 1; slot < 10; slot++) {
      if (sprite_memory[slot << 4]) slide_figure(slot, -dx, -dy);
    }
    if (arc) {
      lift = arc[i];
      put_player(1);
    } else if (i == STEP_FRAMES - 6) {
      put_player(0);
    }
    breathe();
    frame();
    if (!(i & 1)) continue;
    walk_counter--;
    if (rough) frame();
  }
  if (!over) return;
  swap_maps();
  show_map(next, x, y);
}

static void arrive(void) {
  const Warp *warp = warp_at(player_x, player_y);
  restore_screen_tiles();
  place_people();
  if (warp) {
    go_through(warp);
  } else if (meet_wild()) {
    return;
  }
  if (meet_trainers()) interrupted = 1;
}

static void step(uint8_t dx, uint8_t dy, const Connection *over) {
  walk_counter = 8;
  player_x_in_block ^= dx & 1;
  player_y_in_block ^= dy & 1;
  foot ^= 1;
  put_player(1);
  glide(dx, dy, over, 0);
  if (!over) {
    player_x += dx;
    player_y += dy;
  }
  arrive();
}

// Down a ledge: two cells in one leap.
static void hop(uint8_t dx, uint8_t dy) {
  walk_counter = 16;
  put_player(1);
  glide(dx, dy, 0, hop_arc);
  glide(dx, dy, 0, hop_arc + STEP_FRAMES);
  player_x += dx + dx;
  player_y += dy + dy;
  arrive();
}

static uint8_t ledge_flag(void) {
  if (facing == FACE_DOWN) return CELL_LEDGE_DOWN;
  if (facing == FACE_LEFT) return CELL_LEDGE_LEFT;
  return facing == FACE_RIGHT ? CELL_LEDGE_RIGHT : 0;
}

static void walk(uint8_t keys) {
  uint8_t dx = 0, dy = 0, x, y, flags;
  const Door *door;
  const Connection *over = 0;
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
  put_player(0);
  x = player_x + dx;
  y = player_y + dy;
  flags = flags_at(x, y);
  if (x >= map.width || y >= map.height) {
    over = connection_at(x, y);
    if (!over) return;
  }
  if (flags & ledge_flag()) {
    if ((flags_at(x + dx, y + dy) & CELL_WALKABLE) &&
        person_at(x + dx, y + dy) == NONE) {
      hop(dx, dy);
    }
    return;
  }
  if (!(flags & CELL_WALKABLE) || person_at(x, y) != NONE) return;
  door = shut_door_at(x, y);
  if (door) {
    text_say_far(door->text);
    text_close();
    interrupted = 1;
    return;
  }
  step(dx, dy, over);
}

static void address(void) {
  uint8_t dx = 0, dy = 0, x, y, person;
  if (facing == FACE_DOWN) dy = 1;
  if (facing == FACE_UP) dy = 0xFF;
  if (facing == FACE_LEFT) dx = 0xFF;
  if (facing == FACE_RIGHT) dx = 1;
  x = player_x + dx;
  y = player_y + dy;
  if (flags_at(x, y) & CELL_COUNTER) {
    x += dx;
    y += dy;
  }
  person = person_at(x, y);
  if (person == NONE) return;
  interrupted = 1;
  talk_to(person);
}

// A direction that was already held when a text or battle ended counts only
// after its release.
void field_play(void) {
  uint8_t stale = 0;
  for (;;) {
    flicker();
    breathe();
    frame();
    stale &= keys_held;
    interrupted = 0;
    if (keys_new & KEY_A) {
      address();
    } else if (keys_new & KEY_START) {
      field_menu();
      interrupted = 1;
    } else if (keys_held & (uint8_t)~stale & KEY_DIRECTIONS) {
      walk(keys_held & (uint8_t)~stale);
    }
    if (interrupted) stale = keys_held;
    if (game_won) return;
  }
}
