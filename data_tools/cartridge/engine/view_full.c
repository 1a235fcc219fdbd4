// What is seen of a full world: the camera over the ring of tiles, and figures.
//
// The player stands at cell (4, 4) of the 10 x 9 cells of the screen.

#include "view.h"

#include "hardware.h"
#include "map_full.h"
#include "memory.h"
#include "video.h"
#include "view_full.h"
#include "world_data.h"

#define BREATH_FRAMES 31  // not a divisor of an agent step
#define FLIP_X 0x20
#define BEHIND 0x80

// Sprites 0..5 are the player: down, up, left, standing then walking.
#define PLAYER_DOWN 0
#define PLAYER_UP 2
#define PLAYER_LEFT 4

// Of `field.h`; here for its address in the committed ROM.
uint8_t game_won;

uint8_t camera_x, camera_y;
uint8_t ring_x, ring_y;
static uint8_t edge[2 * SCREEN_COLUMNS];
uint8_t foot;
uint8_t lift;
static uint8_t breath;  // people stand this much higher: 0 or 1 pixel
static uint8_t breath_wait;

const uint8_t hop_arc[HOP_FRAMES] = {
    2,  4,  6,  8,  9,  10, 11, 12, 13, 13, 14, 14, 15, 15, 15, 15,
    15, 15, 15, 14, 14, 13, 13, 12, 11, 10, 9,  8,  6,  4,  2,  0};

void restore_screen_tiles(void) { draw_view(screen_tiles, camera_x, camera_y); }

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

void queue_edge_row(uint8_t view_row) {
  uint8_t row = (ring_y + view_row * 2) & 31;
  draw_cell_row(edge, camera_x, camera_y + view_row);
  queue_ring(ring_x, row, edge, SCREEN_COLUMNS, 1);
  queue_ring(ring_x, row + 1, edge + SCREEN_COLUMNS, SCREEN_COLUMNS, 1);
}

void queue_edge_column(uint8_t view_column) {
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

void put_player(uint8_t walking) {
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
  if (!walking && (flags_at(player_x, player_y) & CELL_GRASS)) {
    flags |= BEHIND;
  }
  put_figure(0, VIEW_X * 16 + 8, VIEW_Y * 16 + 16 - lift, sprite, flags);
}

// People within one cell of the screen; the rest is hidden.
void place_people(void) {
  uint8_t i, x, y;
  const Person *person = people;
  for (i = 0; i < map.num_people; i++) {
    x = person->x - player_x + VIEW_X + 1;
    y = person->y - player_y + VIEW_Y + 1;
    if (person->sprite == NONE || x > VIEW_COLUMNS + 1 || y > VIEW_ROWS + 1 ||
        !person_is_there(i)) {
      hide_figure(i + 1);
    } else {
      put_figure(i + 1, (x << 4) - 8, (y << 4) - breath, person->sprite, 0);
    }
    person++;
  }
  for (i++; i < 10; i++) hide_figure(i);
  put_player(0);
}

// A person one pixel on.
void slide_figure(uint8_t slot, uint8_t dx, uint8_t dy) {
  uint8_t i;
  uint8_t *sprite = sprite_memory + (slot << 4);
  for (i = 0; i < 4; i++) {
    sprite[0] += dy;
    sprite[1] += dx;
    sprite += 4;
  }
}

// Nobody stands quite still.
void breathe(void) {
  uint8_t slot;
  if (++breath_wait < BREATH_FRAMES) return;
  breath_wait = 0;
  breath ^= 1;
  for (slot = 1; slot < 10; slot++) {
    if (sprite_memory[slot << 4]) slide_figure(slot, 0, breath ? 0xFF : 1);
  }
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

// While a script moves, the buttons rest.
void under_script(uint8_t on) {
  joy_ignore = on ? 0xFF : 0;
  status_flags_5 = on;
}
