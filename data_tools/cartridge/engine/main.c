// From power-on to the end: title, a new game, the game, the ending.

#include "field.h"
#include "hardware.h"
#include "memory.h"
#include "party.h"
#include "text.h"
#include "video.h"
#include "view.h"
#include "world_data.h"
#ifdef FULL_WORLD
#include "world_full.h"
#else
#include "world.h"
#endif

static void full_screen(void) {
  draw_blank();
  hide_sprites();
}

// The lantern, and the creature of the start.
static void load_pictures(void) {
  uint8_t part;
  for (part = 0; part < 4; part++) {
    queue_picture(FOE_PICTURE, 0, part);
    frame();
  }
  for (part = 0; part < 4; part++) {
    queue_picture(OWN_PICTURE, START_SPECIES, part);
    frame();
  }
}

static void title(void) {
  load_pictures();
  full_screen();
  draw_box(0, 0, SCREEN_ROWS, SCREEN_COLUMNS);
  draw_box(2, 2, 5, 16);
  draw_text(4, TITLE_COLUMN, text_title);
  draw_picture(8, 4, OWN_PICTURE);
  draw_picture(8, 12, FOE_PICTURE);
  draw_text(14, PRESS_START_COLUMN, text_press_start);
  present();
  window_full();
  while (!wait_keys(KEY_START | KEY_A, 250)) {
  }
}

static void new_game(void) {
  party_species[0] = 0xFF;
  party_add(START_SPECIES, START_LEVEL);
  set_lanterns(START_LANTERNS);
  money[1] = START_MONEY;
  blackout_map = respawns[0].map;
  facing = FACE_DOWN;
  enter_map(START_MAP, START_X, START_Y);
  status_flags_6 = 1;
}

static void ending(void) {
  load_pictures();
  full_screen();
  draw_box(0, 0, SCREEN_ROWS, SCREEN_COLUMNS);
  draw_picture(3, 4, OWN_PICTURE);
  draw_picture(3, 12, FOE_PICTURE);
  draw_text(9, ENDING_1_COLUMN, text_ending_1);
  draw_text(11, ENDING_2_COLUMN, text_ending_2);
  draw_text(14, ENDING_3_COLUMN, text_ending_3);
  present();
  window_full();
  hall_of_fame = 1;
  joy_ignore = 0xFF;  // no way on
  for (;;) frame();
}

void main(void) {
  video_start();
  title();
  new_game();
  field_play();
  ending();
}
