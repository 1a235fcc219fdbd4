// The text box at the bottom of the screen.

#include "text.h"

#include "hardware.h"
#include "memory.h"
#include "video.h"
#include "view.h"

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

static void open_box(void) {
  font_loaded |= 1;
  text_box_id = 1;
  window_box();
  hide_people_below(BOX_ROW / 2);
  draw_box(BOX_ROW, 0, 6, SCREEN_COLUMNS);
}

// Shows all pages; the box stays open. Two lines a page, the second a moment
// after the first.
void text_say(const uint8_t *text) {
  if (!(font_loaded & 1)) open_box();
  for (;;) {
    clear_line(LINE_1);
    clear_line(LINE_2);
    text = draw_text(LINE_1, 1, text);
    present();
    window_y = BOX_ROW * 8;
    if (*text == TEXT_LINE) {
      wait_keys(KEY_A | KEY_B, 4);
      text = draw_text(LINE_2, 1, text + 1);
    }
    draw_tile(LINE_2, 18, TILE_MORE);
    present();
    wait_keys(KEY_A | KEY_B, READING_FRAMES);
    if (*text == TEXT_END) return;
    text++;
  }
}

void text_close(void) {
  window_off();
  restore_screen_tiles();
  place_people();
  font_loaded &= (uint8_t)~1;
  frame();
}
