// The text box of a full world: letters appear one by one. A text waits for A
// or B, a menu for A; both go on by themselves, so nobody gets stuck.

#include "text.h"

#include "hardware.h"
#include "memory.h"
#include "party_full.h"
#include "text_full.h"
#include "video.h"
#include "view.h"
#include "world_data.h"

#define LETTER_FRAMES 2
#define text_buffer BYTES_AT(0xC508)  // up to 0xC5FF
#define TEXT_BYTES 240

uint8_t line[24];
static uint8_t line_end;

// Waits for a fresh press of one of `keys`; returns it, or 0 at the time-out.
uint8_t wait_keys(uint8_t keys, uint16_t frames) {
  do {
    frame();
    if (keys_new & keys) return keys_new & keys;
  } while (--frames);
  return 0;
}

void clear_line(uint8_t row) {
  uint8_t column;
  for (column = 1; column < SCREEN_COLUMNS - 1; column++) {
    draw_tile(row, column, TILE_BLANK);
  }
}

void line_start(void) {
  line_end = 0;
  line[0] = TEXT_END;
}

void line_letter(uint8_t tile) {
  if (line_end < sizeof(line) - 1) line[line_end++] = tile;
  line[line_end] = TEXT_END;
}

void line_add(const uint8_t *text) {
  while (*text != TEXT_END) line_letter(*text++);
}

void line_number(uint16_t value) {
  static const uint16_t units[] = {10000, 1000, 100, 10, 1};
  uint8_t i, digit, begun = 0;
  for (i = 0; i < 5; i++) {
    for (digit = 0; value >= units[i]; digit++) value -= units[i];
    if (digit) begun = 1;
    if (begun || i == 4) line_letter(TILE_ZERO + digit);
  }
}

// One line; a press of A or B brings the rest of it at once. Returns the
// place after it.
const uint8_t *reveal(uint8_t row, const uint8_t *text,
                      uint8_t letter_frames) {
  uint8_t column = 1;
  uint8_t pressed;
  while (*text != TEXT_END && *text != TEXT_LINE && *text != TEXT_PAGE) {
    draw_tile(row, column, *text);
    present();
    pressed = keys_new;
    if (letter_frames > 1) {
      frame();
      pressed |= keys_new;
    }
    text++;
    column++;
    if (pressed & (KEY_A | KEY_B)) {
      text = draw_text(row, column, text);
      present();
      break;
    }
  }
  return text;
}

void text_open(void) {
  if (font_loaded & 1) return;
  font_loaded |= 1;
  text_box_id = 1;
  window_box();
  hide_people_below(BOX_ROW / 2);
  draw_box(BOX_ROW, 0, 6, SCREEN_COLUMNS);
  present();
  window_y = BOX_ROW * 8;
}

// Shows all pages; the box stays open.
void text_say(const uint8_t *text) {
  text_open();
  for (;;) {
    clear_line(LINE_1);
    clear_line(LINE_2);
    present();
    text = reveal(LINE_1, text, LETTER_FRAMES);
    if (*text == TEXT_LINE) text = reveal(LINE_2, text + 1, LETTER_FRAMES);
    draw_tile(LINE_2, 18, TILE_MORE);
    present();
    wait_keys(KEY_A | KEY_B, READING_FRAMES);
    if (*text == TEXT_END) return;
    text++;
  }
}

void text_say_far(uint16_t text) {
  far_copy(text_buffer, TEXT_BANK, text, TEXT_BYTES);
  text_say(text_buffer);
}

void text_close(void) {
  window_off();
  restore_screen_tiles();
  place_people();
  font_loaded &= (uint8_t)~1;
  frame();
}

// A menu whose `count` entries are drawn `pitch` rows apart; the cursor is at
// `column`. Returns the entry, CANCEL at B (where `cancels` is KEY_B, not 0),
// TIMED_OUT after `frames`.
uint8_t choose_entry(uint8_t row, uint8_t column, uint8_t count, uint8_t pitch,
                     uint16_t frames, uint8_t cancels) {
  uint8_t i, at, pressed;
  menu_top_y = row;
  menu_top_x = column;
  menu_max_item = count - 1;
  menu_item = 0;
  menu_watched_keys = KEY_A | KEY_UP | KEY_DOWN | cancels;
  text_box_id = 0x0B;
  for (;;) {
    at = row;
    for (i = 0; i < count; i++) {
      draw_tile(at, column, i == menu_item ? TILE_CURSOR : TILE_BLANK);
      at += pitch;
    }
    present();
    pressed = 0;
    do {
      pressed = wait_keys(menu_watched_keys, 1);
    } while (!pressed && --frames);
    if (pressed & KEY_UP) {
      if (menu_item) menu_item--;
    } else if (pressed & KEY_DOWN) {
      if (menu_item < menu_max_item) menu_item++;
    } else {
      break;
    }
  }
  // The cursor shows only where a choice can be made.
  draw_tile(row + menu_item * pitch, column, TILE_BLANK);
  if (pressed & KEY_A) return menu_item;
  return pressed ? CANCEL : TIMED_OUT;
}
