// Battles with wild creatures and with trainers.
//
// `battle_prepare_*` fills the two fighters, `battle_stage` (parts 1 to 15,
// one a frame) draws the screen unseen, `battle_run` shows it and plays on.
// HP, XP and captures change when their message is drawn.

#include "battle.h"

#include "field.h"
#include "hardware.h"
#include "memory.h"
#include "party.h"
#include "text.h"
#include "video.h"
#include "view.h"
#include "world.h"
#include "world_data.h"

// A message goes on by itself: after one agent step, before two are over.
#define MESSAGE_FRAMES 26
#define MENU_FRAMES 480
#define BLACKOUT_FRAMES 40
#define BAR_TILES 6

#define ITEM_ATTACK 0
#define ITEM_CATCH 1
#define ITEM_RUN 2

static const Trainer *trainer;  // 0 in a wild battle
static uint8_t team_next;
static uint8_t loaded_picture;
static uint8_t over;

static void load_own(uint8_t slot) {
  const Member *member = &party[slot];
  active_slot = slot;
  own.species = member->species;
  own.slot = slot;
  own.level = member->level;
  own.hp[1] = member->hp[1];
  own.max_hp[1] = member->max_hp[1];
  own.attack[1] = member->attack[1];
  own.defense[1] = member->defense[1];
  own.speed[1] = member->speed[1];
  copy_name(own_name, own.species);
}

static void load_foe(uint8_t species, uint8_t level) {
  const Species *kind = &species_table[species];
  foe.species = species;
  foe.level = level;
  foe.catch_rate = kind->catch_rate;
  foe.hp[1] = stat_hp(species, level);
  foe.max_hp[1] = foe.hp[1];
  foe.attack[1] = kind->attack + level;
  foe.defense[1] = kind->defense + level;
  foe.speed[1] = kind->speed + level;
  copy_name(foe_name, species);
}

void battle_prepare_wild(uint8_t species, uint8_t level) {
  trainer = 0;
  load_foe(species, level);
  load_own(party_first_able());
}

static void next_of_team(void) {
  const uint8_t *entry = trainer->team + team_next + team_next;
  load_foe(entry[0], entry[1]);
  team_next++;
}

void battle_prepare_trainer(uint8_t number) {
  trainer = &trainers[number];
  team_next = 0;
  next_of_team();
  load_own(party_first_able());
}

static void draw_bar(uint8_t row, uint8_t column, const Fighter *fighter) {
  uint8_t i, part;
  uint8_t filled =
      (uint8_t)((uint16_t)fighter->hp[1] * (BAR_TILES * 8) /
                fighter->max_hp[1]);
  if (fighter->hp[1] && !filled) filled = 1;
  draw_tile(row, column, TILE_BAR_LEFT);
  for (i = 0; i < BAR_TILES; i++) {
    part = filled > 8 ? 8 : filled;
    filled -= part;
    column++;
    draw_tile(row, column, TILE_BAR_EMPTY + part);
  }
  draw_tile(row, column + 1, TILE_BAR_RIGHT);
}

static void draw_foe(void) {
  draw_text(1, 1, foe_name);
  draw_level(2, 2, foe.level);
  draw_bar(3, 1, &foe);
}

static void draw_own(void) {
  draw_text(7, 10, own_name);
  draw_level(8, 11, own.level);
  draw_bar(9, 10, &own);
  draw_number(10, 10, own.hp[1]);
  draw_tile(10, 14, TILE_SLASH);
  draw_number(10, 15, own.max_hp[1]);
}

static void erase(uint8_t row, uint8_t column, uint8_t rows,
                  uint8_t columns) {
  uint8_t r, c;
  for (r = 0; r < rows; r++) {
    for (c = 0; c < columns; c++) {
      draw_tile(row + r, column + c, TILE_BLANK);
    }
  }
}

static void erase_foe(void) {
  erase(1, 1, 3, 10);
  erase(1, 14, 4, 4);
}

static void erase_own(void) {
  erase(7, 10, 4, 9);
  erase(7, 2, 4, 4);
}

static void say(uint8_t row, const uint8_t *first, const uint8_t *second) {
  uint8_t column = 1;
  const uint8_t *end = first;
  clear_line(row);
  draw_text(row, 1, first);
  while (*end != TEXT_END) {
    end++;
    column++;
  }
  draw_text(row, column, second);
}

static void clear_lines(void) {
  uint8_t row;
  for (row = LINE_1; row <= LINE_2; row++) clear_line(row);
}

static void linger(uint8_t frames) {
  while (frames) {
    frame();
    frames--;
  }
}

// Shows what was drawn until a press or, soon, by itself.
static void pause(void) {
  present();
  wait_keys(KEY_A | KEY_B, MESSAGE_FRAMES);
}

static void compose(void) {
  canvas = next_screen;
  draw_blank();
  draw_foe();
  draw_picture(1, 14, FOE_PICTURE);
  draw_own();
  draw_picture(7, 2, OWN_PICTURE);
  draw_box(BOX_ROW, 0, 6, SCREEN_COLUMNS);
  if (trainer) {
    say(LINE_1, trainer->name, text_sends);
    say(LINE_2, foe_name, text_none);
  } else {
    say(LINE_1, text_wild, foe_name);
    say(LINE_2, text_appears, text_none);
  }
  canvas = screen_tiles;
}

void battle_stage(uint8_t part) {
  if (part < 5) {
    queue_picture(FOE_PICTURE, foe.species, part - 1);
  } else if (part < 9) {
    if (loaded_picture != own.species) {
      queue_picture(OWN_PICTURE, own.species, part - 5);
      if (part == 8) loaded_picture = own.species;
    }
  } else if (part == 9) {
    compose();
  } else if (part < 15) {
    canvas = next_screen;
    queue_window_rows((part - 10) * 4, part == 14 ? 2 : 4);
    canvas = screen_tiles;
  }
}

static void keep_hp(void) { party[active_slot].hp[1] = own.hp[1]; }

static void strike(const Fighter *from, Fighter *to) {
  uint8_t power = BASE_DAMAGE + from->attack[1];
  uint8_t luck = random_byte();
  // 0, 1 or 2 more, in the proportions 1 : 2 : 1
  if (luck & 1) power++;
  if (luck & 2) power++;
  if (power > to->defense[1]) {
    power -= to->defense[1];
  } else {
    power = 1;
  }
  to->hp[1] = power < to->hp[1] ? to->hp[1] - power : 0;
}

static void own_strikes(uint8_t row) {
  say(row, own_name, text_attacks);
  strike(&own, &foe);
  draw_foe();
}

static void foe_strikes(uint8_t row) {
  say(row, foe_name, text_attacks);
  strike(&foe, &own);
  keep_hp();
  draw_own();
}

static void foe_faints(uint8_t row) {
  say(row, foe_name, text_faints);
  erase_foe();
}

// Both strike, the quicker first; the lines come one after the other.
static void exchange(void) {
  uint8_t own_first = own.speed[1] >= foe.speed[1];
  clear_lines();
  if (own_first) {
    own_strikes(LINE_1);
  } else {
    foe_strikes(LINE_1);
  }
  present();
  linger(4);
  if (!own.hp[1]) {
    say(LINE_2, own_name, text_faints);
    erase_own();
  } else if (!foe.hp[1]) {
    foe_faints(LINE_2);
  } else if (own_first) {
    foe_strikes(LINE_2);
  } else {
    own_strikes(LINE_2);
  }
  pause();
}

static void gain_xp(void) {
  Member *member = &party[active_slot];
  uint16_t xp = ((uint16_t)member->xp[1] << 8) | member->xp[2];
  uint8_t gain = species_table[foe.species].xp * foe.level;
  uint8_t level = member->level;
  if (trainer) gain += gain >> 1;
  clear_lines();
  draw_text(LINE_1, 1, text_gains);
  draw_number(LINE_1, 8, gain);
  draw_text(LINE_1, 12, text_xp);
  xp += gain;
  member->xp[1] = (uint8_t)(xp >> 8);
  member->xp[2] = (uint8_t)xp;
  while (level < MAX_LEVEL && xp >= xp_of_level[level + 1]) level++;
  if (level != member->level) {
    member_set_level(active_slot, level);
    load_own(active_slot);
    say(LINE_2, own_name, text_grows);
    draw_own();
  }
  pause();
}

static void foe_fell(void) {
  gain_xp();
  if (!trainer || team_next == trainer->size) {
    battle_result = RESULT_WON;
    over = 1;
    return;
  }
  next_of_team();
  clear_lines();
  say(LINE_1, trainer->name, text_sends);
  say(LINE_2, foe_name, text_none);
  present();
  for (over = 0; over < 4; over++) {
    queue_picture(FOE_PICTURE, foe.species, over);
    frame();
  }
  over = 0;
  dex_mark(dex_seen, foe.species);
  draw_foe();
  draw_picture(1, 14, FOE_PICTURE);
  pause();
}

static void own_fell(void) {
  uint8_t part;
  uint8_t slot = party_first_able();
  if (slot == party_size) {
    battle_result = RESULT_LOST;
    over = 1;
    return;
  }
  load_own(slot);
  clear_lines();
  say(LINE_1, text_go, own_name);
  present();
  if (loaded_picture != own.species) {
    for (part = 0; part < 4; part++) {
      queue_picture(OWN_PICTURE, own.species, part);
      frame();
    }
    loaded_picture = own.species;
  }
  draw_own();
  draw_picture(7, 2, OWN_PICTURE);
  pause();
}

// The foe alone strikes; LINE_1 says what failed.
static void lost_turn(const uint8_t *reason) {
  clear_lines();
  draw_text(LINE_1, 1, reason);
  present();
  linger(4);
  foe_strikes(LINE_2);
  pause();
  if (own.hp[1]) return;
  clear_lines();
  say(LINE_1, own_name, text_faints);
  erase_own();
  pause();
}

static void refuse(const uint8_t *reason) {
  clear_lines();
  draw_text(LINE_1, 1, reason);
  pause();
}

// Easier the weaker the foe: the chance doubles from full HP to none.
static void catch_foe(void) {
  uint8_t count = lanterns();
  uint16_t chance;
  if (trainer) {
    refuse(text_kept);
    return;
  }
  if (!count) {
    refuse(text_no_lanterns);
    return;
  }
  set_lanterns(count - 1);
  chance = foe.catch_rate;
  chance += chance * (foe.max_hp[1] - foe.hp[1]) / foe.max_hp[1];
  if (random_byte() >= chance) {
    lost_turn(text_slipped);
    return;
  }
  captured_species = foe.species;
  clear_lines();
  say(LINE_1, foe_name, text_caught);
  erase(1, 14, 4, 4);
  party_add(foe.species, foe.level);
  pause();
  battle_result = RESULT_LEFT;
  over = 1;
}

static void run(void) {
  if (trainer) {
    refuse(text_no_way);
    return;
  }
  if (random_byte() < 64) {
    lost_turn(text_no_way);
    return;
  }
  refuse(text_ran);
  battle_result = RESULT_LEFT;
  over = 1;
}

// The marked entry at a press of A; undecided for MENU_FRAMES, it counts too.
static uint8_t choose(void) {
  uint8_t row, pressed;
  uint16_t left = MENU_FRAMES;
  clear_lines();
  draw_text(LINE_1, 1, text_menu_ask);
  draw_box(BOX_ROW, 8, 6, 12);
  for (row = 0; row < 3; row++) {
    draw_text(13 + row, 11, row == 0   ? text_menu_attack
                            : row == 1 ? text_menu_catch
                                       : text_menu_run);
  }
  draw_number(14, 16, lanterns());
  menu_top_y = 13;
  menu_top_x = 10;
  menu_max_item = 2;
  menu_item = 0;
  menu_watched_keys = KEY_A | KEY_UP | KEY_DOWN;
  text_box_id = 0x0B;
  for (;;) {
    for (row = 0; row < 3; row++) {
      draw_tile(13 + row, 10, row == menu_item ? TILE_CURSOR : TILE_BLANK);
    }
    present();
    pressed = 0;
    do {
      pressed = wait_keys(KEY_A | KEY_UP | KEY_DOWN, 1);
    } while (!pressed && --left);
    if (pressed & KEY_UP) {
      if (menu_item) menu_item--;
    } else if (pressed & KEY_DOWN) {
      if (menu_item < 2) menu_item++;
    } else {
      break;
    }
  }
  draw_box(BOX_ROW, 0, 6, SCREEN_COLUMNS);
  return menu_item;
}

static void leave(void) {
  in_battle = BATTLE_NONE;
  current_opponent = 0;
  captured_species = 0;
  trainer_class = 0;
  window_off();
  restore_screen_tiles();
  place_people();
  frame();
}

static void black_out(void) {
  uint8_t i, carry = 0;
  const Respawn *place = respawns;
  in_battle = BATTLE_BLACKOUT;
  clear_lines();
  draw_text(LINE_1, 1, text_blackout_1);
  draw_text(LINE_2, 1, text_blackout_2);
  present();
  linger(BLACKOUT_FRAMES);
  pause();
  // Half of the money is lost.
  for (i = 0; i < 3; i++) {
    uint8_t value = (money[i] >> 4) * 10 + (money[i] & 15);
    if (carry) value += 100;
    carry = value & 1;
    value >>= 1;
    money[i] = (uint8_t)((value / 10) << 4) | (value % 10);
  }
  while (place->map && place->map != blackout_map) place++;
  if (!place->map) place = respawns;
  facing = FACE_DOWN;
  enter_map(place->map, place->x, place->y);
  party_heal();
  in_battle = BATTLE_NONE;
  current_opponent = 0;
  trainer_class = 0;
}

// Money is binary-coded decimal, most significant byte first.
static void add_hundreds(uint8_t hundreds) {
  uint8_t low = (money[1] & 15) + (hundreds & 15);
  uint8_t high = (money[1] >> 4) + (hundreds >> 4);
  if (low > 9) {
    low -= 10;
    high++;
  }
  if (high > 9) {
    high -= 10;
    if ((money[0] & 15) == 9) {
      money[0] += 6;
    }
    money[0]++;
  }
  money[1] = (uint8_t)(high << 4) | low;
}

static void win_trainer(void) {
  const Trainer *beaten = trainer;
  leave();
  badges |= (uint8_t)(1 << beaten->badge);
  badges_copy = badges;
  set_flag(beaten->flag);
  add_hundreds(beaten->prize);
  text_say(beaten->won_text);
  text_close();
  if (beaten->ends_game) game_won = 1;
}

void battle_run(void) {
  copy_bytes(screen_tiles, next_screen, NUM_SCREEN_TILES);
  hide_sprites();
  window_off();  // forgets what the drawing marked
  window_full();
  over = 0;
  captured_species = 0;
  battle_result = 0;
  text_box_id = 1;
  if (trainer) {
    in_battle = BATTLE_TRAINER;
    trainer_class = trainer->kind;
    current_opponent = 200 + trainer_class;
  } else {
    in_battle = BATTLE_WILD;
    current_opponent = foe.species;
  }
  dex_mark(dex_seen, foe.species);
  pause();
  while (!over) {
    switch (choose()) {
      case ITEM_ATTACK:
        exchange();
        break;
      case ITEM_CATCH:
        catch_foe();
        break;
      default:
        run();
    }
    if (!own.hp[1]) {
      own_fell();
    } else if (!foe.hp[1]) {
      foe_fell();
    }
  }
  if (battle_result == RESULT_LOST) {
    black_out();
  } else if (trainer) {
    win_trainer();
  } else {
    leave();
  }
}
