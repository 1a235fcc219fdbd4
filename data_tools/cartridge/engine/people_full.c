// People of a full world: talk, gifts and errands, shops, trainers who see the
// player; and the player's own menu.

#include "people_full.h"

#include "battle.h"
#include "battle_full.h"
#include "hardware.h"
#include "map_full.h"
#include "memory.h"
#include "party.h"
#include "party_full.h"
#include "text.h"
#include "text_full.h"
#include "video.h"
#include "view.h"
#include "view_full.h"
#include "world_data.h"

#define SHOP_FRAMES 240  // an idle customer leaves
#define CELL_PIXELS 16
#define STARTLE_PIXELS 10

static void say_line(void) {
  text_say(line);
}

static void give(const Person *person) {
  const Item *item = item_of(person->gives);
  bag_add(person->gives, person->count);
  line_start();
  line_add(text_got);
  line_add(item->name);
  if (person->count > 1) {
    line_letter(TILE_BLANK);
    line_letter(TILE_TIMES);
    line_number(person->count);
  }
  say_line();
}

static uint8_t refuses(const Person *person) {
  return person->needs_badges > num_badges();
}

static void draw_goods(uint8_t goods) {
  uint8_t i, row = 13;
  draw_box(BOX_ROW, 0, 6, SCREEN_COLUMNS);
  for (i = 0; i < NUM_ITEMS; i++) {
    if (!(goods & (uint8_t)(1 << i))) continue;
    line_start();
    line_add(items[i].name);
    draw_text(row, 2, line);
    line_start();
    line_number((uint16_t)items[i].price * 100);
    draw_text(row, 13, line);
    row++;
  }
  line_start();
  line_add(text_money);
  line_letter(TILE_BLANK);
  line_number(money_hundreds());
  line_letter(TILE_ZERO + (money[2] >> 4));
  line_letter(TILE_ZERO + (money[2] & 15));
  draw_text(16, 2, line);
}

static void serve(uint8_t goods) {
  uint8_t i, count, chosen;
  uint16_t held;
  for (;;) {
    draw_goods(goods);
    count = 0;
    for (i = 0; i < NUM_ITEMS; i++) {
      if (goods & (uint8_t)(1 << i)) count++;
    }
    chosen = choose_entry(13, 1, count, 1, SHOP_FRAMES, KEY_B);
    if (chosen >= TIMED_OUT) break;
    for (i = 0; i < NUM_ITEMS; i++) {
      if ((goods & (uint8_t)(1 << i)) && !chosen--) break;
    }
    draw_box(BOX_ROW, 0, 6, SCREEN_COLUMNS);
    held = money_hundreds();
    if (held < items[i].price) {
      text_say(text_poor);
      continue;
    }
    set_money_hundreds(held - items[i].price);
    bag_add(items[i].id, 1);
    text_say(text_bought);
  }
  draw_box(BOX_ROW, 0, 6, SCREEN_COLUMNS);
}

static void challenge(const Person *person) {
  uint8_t sets = person->sets;
  text_say_far(person->text);
  set_flag(person->flag);
  text_close();
  battle_prepare_trainer(person->argument);
  battle_run();
  if (battle_result == RESULT_WON) set_flag(sets);
}

static uint8_t is_beaten(const Person *person) {
  Trainer record;
  far_copy(&record, TRAINERS_BANK,
           TRAINERS_AT + (uint16_t)person->argument * RECORD_BYTES,
           sizeof(Trainer));
  return flag_is_set(record.flag);
}

// An errand: the thing that is asked for changes hands once.
static void take(const Person *person) {
  if (flag_is_set(person->flag)) {
    text_say_far(person->after ? person->after : person->taken);
    return;
  }
  if (!bag_count_of(person->takes)) {
    text_say_far(person->text);
    return;
  }
  text_say_far(person->taken);
  bag_remove(person->takes);
  set_flag(person->flag);
  set_flag(person->sets);
  if (person->gives) give(person);
}

static void chat(const Person *person) {
  uint8_t first = !flag_is_set(person->flag);
  if (!first && person->after) {
    text_say_far(person->after);
    return;
  }
  text_say_far(person->text);
  if (first && person->gives) give(person);
  set_flag(person->flag);
  set_flag(person->sets);
}

void talk_to(uint8_t number) {
  const Person *person = &people[number];
  uint8_t fights =
      person->role == ROLE_LEADER || person->role == ROLE_TRAINER;
  if (refuses(person)) {
    text_say_far(person->refuse ? person->refuse : person->text);
  } else if (fights && !is_beaten(person)) {
    challenge(person);
    return;
  } else if (person->takes) {
    take(person);
  } else {
    chat(person);
  }
  if (person->role == ROLE_HEALER) {
    party_heal();
    blackout_map = map_id;
    text_say(text_healed);
  }
  if (person->role == ROLE_SHOP && !refuses(person)) serve(person->argument);
  text_close();
}

// Cells between a trainer and the player, 0 where they do not see each other.
static uint8_t distance_seen(const Person *person) {
  uint8_t dx = 0, dy = 0, i, x = person->x, y = person->y;
  if (person->looks == FACE_DOWN) dy = 1;
  if (person->looks == FACE_UP) dy = 0xFF;
  if (person->looks == FACE_LEFT) dx = 0xFF;
  if (person->looks == FACE_RIGHT) dx = 1;
  for (i = 1; i <= person->sight; i++) {
    x += dx;
    y += dy;
    if (x == player_x && y == player_y) return i;
    if (!(flags_at(x, y) & CELL_WALKABLE) || person_at(x, y) != NONE) break;
  }
  return 0;
}

static void slide(uint8_t person, uint8_t dx, uint8_t dy, uint8_t pixels) {
  for (; pixels; pixels--) {
    slide_figure(person + 1, dx, dy);
    frame();
  }
}

static void walk_up(uint8_t number, uint8_t distance) {
  const Person *person = &people[number];
  uint8_t dx = 0, dy = 0;
  if (person->looks == FACE_DOWN) dy = 1;
  if (person->looks == FACE_UP) dy = 0xFF;
  if (person->looks == FACE_LEFT) dx = 0xFF;
  if (person->looks == FACE_RIGHT) dx = 1;
  under_script(1);
  // A start: it jumps up and down once.
  slide(number, 0, 0xFF, STARTLE_PIXELS);
  slide(number, 0, 1, STARTLE_PIXELS);
  slide(number, dx, dy, (distance - 1) * CELL_PIXELS);
  if (dy == 1) facing = FACE_UP;
  if (dy == 0xFF) facing = FACE_DOWN;
  if (dx == 1) facing = FACE_LEFT;
  if (dx == 0xFF) facing = FACE_RIGHT;
  put_player(0);
  under_script(0);
}

// Returns whether somebody challenged the player.
uint8_t meet_trainers(void) {
  uint8_t i, distance;
  const Person *person = people;
  for (i = 0; i < map.num_people; i++) {
    if (person->role == ROLE_TRAINER && person->sight && person_is_there(i) &&
        !refuses(person)) {
      distance = distance_seen(person);
      if (distance && !is_beaten(person)) {
        walk_up(i, distance);
        challenge(person);
        return 1;
      }
    }
    person++;
  }
  return 0;
}

// A salve for a member that the player chooses.
static void use_salve(const Item *item) {
  uint8_t slot = choose_member(text_salve_used, KEY_B);
  Member *member;
  if (slot >= TIMED_OUT) return;
  member = &party[slot];
  if (!member->hp[1] || member->hp[1] == member->max_hp[1]) return;
  bag_remove(item->id);
  if (member->max_hp[1] - member->hp[1] > item->heal) {
    member->hp[1] += item->heal;
  } else {
    member->hp[1] = member->max_hp[1];
  }
}

static void show_bag(void) {
  uint8_t i, count, chosen;
  const Item *item;
  draw_box(BOX_ROW, 0, 6, SCREEN_COLUMNS);
  count = bag_count > 4 ? 4 : bag_count;
  for (i = 0; i < count; i++) {
    item = item_of(bag_items[i + i]);
    line_start();
    line_add(item->name);
    draw_text(13 + i, 2, line);
    line_start();
    line_letter(TILE_TIMES);
    line_number(bag_items[i + i + 1]);
    draw_text(13 + i, 14, line);
  }
  if (!count) {
    text_say(text_empty_bag);
    return;
  }
  chosen = choose_entry(13, 1, count, 1, SHOP_FRAMES, KEY_B);
  if (chosen >= TIMED_OUT) return;
  item = item_of(bag_items[chosen + chosen]);
  if (item->kind != KIND_SALVE) return;
  hide_sprites();
  window_full();
  use_salve(item);
}

static void draw_count(uint8_t row, const uint8_t *name, uint8_t count) {
  draw_text(row, 10, name);
  line_start();
  line_number(count);
  draw_text(row, 18, line);
}

// START: the party, the bag, what was reached.
void field_menu(void) {
  uint8_t chosen;
  text_open();
  draw_text(13, 2, text_menu_glims);
  draw_text(14, 2, text_menu_bag);
  draw_text(15, 2, text_menu_close);
  draw_count(13, text_badges, num_badges());
  line_start();
  line_add(text_species);
  draw_text(14, 10, line);
  line_start();
  line_number(num_owned());
  draw_text(14, 17, line);
  chosen = choose_entry(13, 1, 3, 1, SHOP_FRAMES, KEY_B);
  if (chosen == 0) {
    hide_sprites();
    window_full();
    chosen = choose_member(text_none, KEY_B);
    if (chosen < TIMED_OUT) {
      draw_stats(chosen);
      present();
      wait_keys(KEY_A | KEY_B, READING_FRAMES);
    }
  } else if (chosen == 1) {
    show_bag();
  }
  text_close();
}
