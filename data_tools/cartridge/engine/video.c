// Frames, buttons, chance, and everything that reaches the screen.
//
// Two 32x32 tile maps take turns: one is the scrolling background, the other
// is the window (text box, battle, title) or the next map being drawn unseen.
// Each vertical blank moves at most 80 bytes in rows (or half of that
// in columns): more would run into the visible lines, where writes are lost.

#include "video.h"

#include "hardware.h"
#include "memory.h"
#include "world_data.h"
#ifdef FULL_WORLD
#include "world_full.h"
#else
#include "world.h"
#endif

uint8_t vram_queue[160];
volatile uint8_t vram_ready, vblank_seen, vblank_end_line;
uint8_t scroll_x, scroll_y, window_y, lcd_control, bg_palette;
uint8_t keys_held, keys_new;
uint8_t *canvas;
uint8_t next_screen[NUM_SCREEN_TILES];

static uint8_t *queue_end;
static uint8_t chance_low, chance_high;
static uint8_t window_first_row;
static uint8_t dirty[SCREEN_ROWS];

// Two bytes a turn: `count` is even.
void copy_bytes(uint8_t *to, const uint8_t *from, uint16_t count) {
  uint8_t turns = (uint8_t)(count >> 1);
  uint8_t pages = (uint8_t)(count >> 9) + (turns ? 1 : 0);
  do {
    do {
      *to++ = *from++;
      *to++ = *from++;
    } while (--turns);
  } while (--pages);
}

static void read_keys(void) {
  uint8_t keys;
  JOYPAD = 0x20;
  keys = JOYPAD;
  keys = JOYPAD;
  keys = (uint8_t)(keys << 4);
  JOYPAD = 0x10;
  (void)JOYPAD;
  (void)JOYPAD;
  (void)JOYPAD;
  keys |= JOYPAD & 0x0F;
  JOYPAD = 0x30;
  keys = (uint8_t)~keys;
  keys_new = keys & (uint8_t)~keys_held;
  keys_held = keys;
}

// Chance depends on when which button was held, as on the original.
static void stir(void) {
  uint8_t carry = chance_high & 0x80;
  chance_high = (uint8_t)(chance_high << 1);
  if (chance_low & 0x80) chance_high |= 1;
  chance_low = (uint8_t)(chance_low << 1);
  if (carry) {
    chance_low ^= 0x2D;  // x^16 + x^5 + x^3 + x^2 + 1
  }
  chance_low += DIVIDER;
  chance_high ^= keys_held;
}

uint8_t random_byte(void) {
  stir();
  return chance_low ^ (uint8_t)(chance_high * 5);
}

// Waits for the next vertical blank, which empties the queue; reads the pad.
void frame(void) {
  *queue_end = 0;
  vram_ready = queue_end != vram_queue;
  vblank_seen = 0;
  do {
    __asm__("halt");
    __asm__("nop");
  } while (!vblank_seen);
  queue_end = vram_queue;
  read_keys();
  stir();
}

void queue(uint16_t address, const uint8_t *source, uint8_t count,
           uint8_t stride) {
  uint8_t *end = queue_end;
  *end++ = count;
  *end++ = stride;
  *end++ = (uint8_t)address;
  *end++ = (uint8_t)(address >> 8);
  do {
    *end++ = *source++;
  } while (--count);
  queue_end = end;
}

#ifdef FULL_WORLD
extern uint8_t far_bank;
extern uint16_t far_from, far_count;
extern void *far_to;
void far_move(void);

// From a bank that is not mapped to memory.
void far_copy(void *to, uint8_t bank, uint16_t from, uint16_t count) {
  far_to = to;
  far_bank = bank;
  far_from = from;
  far_count = count;
  far_move();
}

// A row from a bank to video memory in the next vertical blank.
void queue_far(uint16_t address, uint8_t bank, uint16_t from, uint8_t count) {
  uint8_t *end = queue_end;
  *end++ = count;
  *end++ = 1;
  *end++ = (uint8_t)address;
  *end++ = (uint8_t)(address >> 8);
  far_copy(end, bank, from, count);
  queue_end = end + count;
}
#endif

uint16_t shown_map(void) { return lcd_control & LCD_BG_MAP ? 0x9C00 : 0x9800; }

uint16_t hidden_map(void) {
  return lcd_control & LCD_BG_MAP ? 0x9800 : 0x9C00;
}

void swap_maps(void) { lcd_control ^= LCD_BG_MAP | LCD_WINDOW_MAP; }

// The screen is still off: tiles go straight to video memory.
void video_start(void) {
  uint16_t left = 2 * 1024;
  uint8_t *to = BYTES_AT(0x9800);
  while (LCD_LINE < 144) {
  }
  LCD_CONTROL = 0;
  SOUND_ON = 0;
  do {
    *to++ = TILE_BLANK;
  } while (--left);
  queue_end = vram_queue;
  canvas = screen_tiles;
#ifdef FULL_WORLD
  far_copy(BYTES_AT(0x9600), FONT_BANK, FONT_AT, 32 * 16);
  far_copy(BYTES_AT(0x8800), FONT_BANK, FONT_AT + 32 * 16, 128 * 16);
  far_copy(BYTES_AT(0x8000), SPRITES_BANK, SPRITES_AT, NUM_SPRITES * 64);
#else
  copy_bytes(BYTES_AT(0x9000), map_tiles, NUM_MAP_TILES * 16);
  copy_bytes(BYTES_AT(0x9600), font_tiles, 32 * 16);
  copy_bytes(BYTES_AT(0x8800), font_tiles + 32 * 16, 128 * 16);
  copy_bytes(BYTES_AT(0x8000), sprite_tiles, NUM_SPRITES * 64);
#endif
  WINDOW_X = 7;
  SPRITE_PALETTE_0 = 0xE0;  // colours 1, 2, 3: white, dark, black
  SPRITE_PALETTE_1 = 0xE0;
  bg_palette = 0xE4;
  BG_PALETTE = 0xE4;
  window_y = 144;
  lcd_control = LCD_BASE | LCD_WINDOW_MAP;
  LCD_CONTROL = lcd_control;
  INTERRUPT_FLAGS = 0;
  INTERRUPT_ENABLE = 1;
  __asm__("ei");
}

void draw_tile(uint8_t row, uint8_t column, uint8_t tile) {
  canvas[row * SCREEN_COLUMNS + column] = tile;
  dirty[row] = 1;
}

void draw_blank(void) {
  uint8_t row;
  uint8_t *to = canvas;
  uint16_t count = NUM_SCREEN_TILES;
  do {
    *to++ = TILE_BLANK;
  } while (--count);
  for (row = 0; row < SCREEN_ROWS; row++) dirty[row] = 1;
}

// Draws one line and returns the place after it (past a line or page mark).
const uint8_t *draw_text(uint8_t row, uint8_t column, const uint8_t *text) {
  uint8_t *to = canvas + row * SCREEN_COLUMNS + column;
  dirty[row] = 1;
  while (*text != TEXT_END && *text != TEXT_LINE && *text != TEXT_PAGE) {
    *to++ = *text++;
  }
  return text;
}

// Three columns, right-aligned.
void draw_number(uint8_t row, uint8_t column, uint8_t value) {
  uint8_t *to = canvas + row * SCREEN_COLUMNS + column;
  uint8_t hundreds = 0, tens = 0;
  dirty[row] = 1;
  while (value >= 100) {
    value -= 100;
    hundreds++;
  }
  while (value >= 10) {
    value -= 10;
    tens++;
  }
  to[0] = hundreds ? TILE_ZERO + hundreds : TILE_BLANK;
  to[1] = hundreds || tens ? TILE_ZERO + tens : TILE_BLANK;
  to[2] = TILE_ZERO + value;
}

// Two columns, left-aligned.
void draw_level(uint8_t row, uint8_t column, uint8_t level) {
  uint8_t tens = 0;
  draw_tile(row, column, TILE_LEVEL);
  while (level >= 10) {
    level -= 10;
    tens++;
  }
  if (tens) draw_tile(row, ++column, TILE_ZERO + tens);
  draw_tile(row, column + 1, TILE_ZERO + level);
}

void draw_box(uint8_t row, uint8_t column, uint8_t rows, uint8_t columns) {
  uint8_t r, c;
  uint8_t *to = canvas + row * SCREEN_COLUMNS + column;
  uint8_t left = 0x79, middle = 0x7A, right = 0x7B;
  for (r = 0; r < rows; r++) {
    if (r == rows - 1) {
      left = 0x7D;
      middle = 0x7A;
      right = 0x7E;
    }
    dirty[row + r] = 1;
    *to++ = left;
    for (c = columns - 2; c; c--) *to++ = middle;
    *to++ = right;
    to += SCREEN_COLUMNS - columns;
    left = 0x7C;
    middle = TILE_BLANK;
    right = 0x7C;
  }
}

// Four by four tiles, ids rising along the rows; tile 0x7F clears the place.
void draw_picture(uint8_t row, uint8_t column, uint8_t first_tile) {
  uint8_t r, c;
  uint8_t tile = first_tile;
  for (r = 0; r < 4; r++) {
    for (c = 0; c < 4; c++) {
      draw_tile(row + r, column + c, tile);
      if (first_tile != TILE_BLANK) tile++;
    }
  }
}

// Parts 0..3 of a picture, 64 bytes each.
void queue_picture(uint8_t first_tile, uint8_t picture, uint8_t part) {
  uint16_t offset = (uint16_t)part * 64;
#ifdef FULL_WORLD
  queue_far(0x8000 + (uint16_t)first_tile * 16 + offset, PICTURES_BANK,
            PICTURES_AT + (uint16_t)picture * 256 + offset, 64);
#else
  queue(0x8000 + (uint16_t)first_tile * 16 + offset,
        pictures + (uint16_t)picture * 256 + offset, 64, 1);
#endif
}

// Rows of `canvas` to the window's tile map, at most 4 a frame.
void queue_window_rows(uint8_t row, uint8_t count) {
  uint16_t to = hidden_map() + (uint16_t)(row - window_first_row) * 32;
  const uint8_t *from = canvas + row * SCREEN_COLUMNS;
  while (count) {
    queue(to, from, SCREEN_COLUMNS, 1);
    dirty[row] = 0;
    to += 32;
    from += SCREEN_COLUMNS;
    row++;
    count--;
  }
}

// Sends the rows that changed, then returns: 4 rows a frame.
void present(void) {
  uint8_t row, sent = 0;
  for (row = window_first_row; row < SCREEN_ROWS; row++) {
    if (!dirty[row]) continue;
    queue_window_rows(row, 1);
    if (++sent == 4) {
      frame();
      sent = 0;
    }
  }
  if (sent) frame();
}

static void clear_dirty(void) {
  uint8_t row;
  for (row = 0; row < SCREEN_ROWS; row++) dirty[row] = 0;
}

// The window covers the screen from the next frame on.
void window_full(void) {
  window_first_row = 0;
  window_y = 0;
  lcd_control |= LCD_WINDOW;
}

// Prepares the text box: `present` fills it, `window_y = 96` shows it.
void window_box(void) {
  clear_dirty();
  window_first_row = 12;
  lcd_control |= LCD_WINDOW;
}

void window_off(void) {
  clear_dirty();
  window_first_row = 0;
  window_y = 144;
  lcd_control &= (uint8_t)~LCD_WINDOW;
}
