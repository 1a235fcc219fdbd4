// Battles of a full world: moves, types, misses, levels, switching, catching.
//
// `battle_prepare_*` fills the two fighters, `battle_run` shows them and plays
// on. HP, XP and captures change when their message is drawn.

#include "battle_full.h"

#include "battle.h"
#include "field.h"
#include "hardware.h"
#include "map_full.h"
#include "memory.h"
#include "party.h"
#include "party_full.h"
#include "text.h"
#include "text_full.h"
#include "video.h"
#include "view.h"
#include "world_data.h"

// A message goes on by itself: after one agent step, before two are over.
#define MESSAGE_FRAMES 26
#define MENU_FRAMES 480
#define BAR_TILES 6
#define BAR_PIXELS (BAR_TILES * 8)
#define FOE_ROW 1
#define FOE_COLUMN 14
#define OWN_ROW 7
#define OWN_COLUMN 2
#define BLINKS 3
#define BLINK_FRAMES 5

#define ITEM_ATTACK 0
#define ITEM_BAG 1
#define ITEM_SWITCH 2
#define ITEM_RUN 3

#define enemy_count BYTE_AT(0xD89C)
#define enemy_species BYTES_AT(0xD89D)
#define enemy_party ((Member *)0xD8A4)

static Trainer trainer;
static uint8_t in_trainer_battle;
static uint8_t team_next;
static uint8_t loaded_picture;
static uint8_t over;
static uint8_t foe_pixels, own_pixels;  // of the bars, as drawn

static uint8_t bar_pixels(const Fighter *fighter) {
  uint8_t filled = (uint8_t)((uint16_t)fighter->hp[1] * BAR_PIXELS /
                             fighter->max_hp[1]);
  return fighter->hp[1] && !filled ? 1 : filled;
}

static void load_own(uint8_t slot) {
  uint8_t i;
  const Member *member = &party[slot];
  active_slot = slot;
  own.species = member->species;
  own.slot = slot;
  own.level = member->level;
  own.type1 = own.type2 = member->type1;
  own.hp[1] = member->hp[1];
  own.max_hp[1] = member->max_hp[1];
  own.attack[1] = member->attack[1];
  own.defense[1] = member->defense[1];
  own.speed[1] = member->speed[1];
  for (i = 0; i < MAX_MOVES; i++) own.moves[i] = member->moves[i];
  copy_name(own_name, own.species);
  own_pixels = bar_pixels(&own);
}

static void load_foe(uint8_t species, uint8_t level) {
  uint8_t i, count = 0;
  copy_name(foe_name, species);
  foe.species = species;
  foe.level = level;
  foe.type1 = foe.type2 = kind.type;
  foe.catch_rate = kind.catch_rate;
  foe.hp[1] = stat_hp(species, level);
  foe.max_hp[1] = foe.hp[1];
  foe.attack[1] = kind.attack + level;
  foe.defense[1] = kind.defense + level;
  foe.speed[1] = kind.speed + level;
  for (i = 0; i < MAX_MOVES; i++) foe.moves[i] = 0;
  for (i = 0; i < kind.num_moves; i++) {
    if (kind.moves[i + i + 1] > level) continue;
    foe.moves[count & 3] = kind.moves[i + i];  // the last four
    count++;
  }
  foe_pixels = BAR_PIXELS;
}

void battle_prepare_wild(uint8_t species, uint8_t level) {
  in_trainer_battle = 0;
  load_foe(species, level);
  load_own(party_first_able());
}

static void next_of_team(void) {
  const uint8_t *entry = trainer.team + team_next + team_next;
  load_foe(entry[0], entry[1]);
  team_next++;
}

void battle_prepare_trainer(uint8_t number) {
  uint8_t i, species, level;
  far_copy(&trainer, TRAINERS_BANK,
           TRAINERS_AT + (uint16_t)number * RECORD_BYTES, sizeof(Trainer));
  in_trainer_battle = 1;
  team_next = 0;
  enemy_count = trainer.size;
  for (i = 0; i < trainer.size; i++) {
    species = trainer.team[i + i];
    level = trainer.team[i + i + 1];
    enemy_species[i] = species;
    enemy_party[i].species = species;
    enemy_party[i].level = level;
    enemy_party[i].hp[1] = stat_hp(species, level);
    enemy_party[i].max_hp[1] = enemy_party[i].hp[1];
  }
  enemy_species[i] = 0xFF;
  next_of_team();
  load_own(party_first_able());
}

static void draw_bar(uint8_t row, uint8_t column, uint8_t filled) {
  uint8_t i, part;
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
  draw_bar(3, 1, foe_pixels);
}

static void draw_own(void) {
  draw_text(7, 10, own_name);
  draw_level(8, 11, own.level);
  draw_bar(9, 10, own_pixels);
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
  erase(FOE_ROW, FOE_COLUMN, 4, 4);
}

static void erase_own(void) {
  erase(7, 10, 4, 9);
  erase(OWN_ROW, OWN_COLUMN, 4, 4);
}

static void draw_message_box(void) {
  draw_box(BOX_ROW, 0, 6, SCREEN_COLUMNS);
}

// Everything but the text of the box.
static void draw_all(void) {
  draw_blank();
  if (foe.hp[1]) {
    draw_foe();
    draw_picture(FOE_ROW, FOE_COLUMN, FOE_PICTURE);
  }
  if (own.hp[1]) {
    draw_own();
    draw_picture(OWN_ROW, OWN_COLUMN, OWN_PICTURE);
  }
  draw_message_box();
}

static void linger(uint8_t frames) {
  while (frames) {
    frame();
    frames--;
  }
}

static void clear_lines(void) {
  uint8_t row;
  for (row = BOX_ROW + 1; row < SCREEN_ROWS - 1; row++) clear_line(row);
}

static void compose_line(const uint8_t *first, const uint8_t *second) {
  line_start();
  line_add(first);
  line_add(second);
}

static void reveal_line(uint8_t row) { reveal(row, line, 1); }

static void pause(void) {
  present();
  wait_keys(KEY_A | KEY_B, MESSAGE_FRAMES);
}

// A line of two parts on a clean box; the second line stays free.
static void say_first(const uint8_t *first, const uint8_t *second) {
  clear_lines();
  compose_line(first, second);
  reveal_line(LINE_1);
}

static void say_second(const uint8_t *first, const uint8_t *second) {
  compose_line(first, second);
  reveal_line(LINE_2);
}

static void say(const uint8_t *first, const uint8_t *second) {
  say_first(first, second);
  pause();
}

static void load_picture(uint8_t first_tile, uint8_t species) {
  uint8_t part;
  for (part = 0; part < 4; part++) {
    queue_picture(first_tile, species, part);
    frame();
  }
}

static void load_own_picture(void) {
  if (loaded_picture == own.species) return;
  load_picture(OWN_PICTURE, own.species);
  loaded_picture = own.species;
}

static void blink(uint8_t row, uint8_t column, uint8_t first_tile) {
  uint8_t i;
  for (i = 0; i < BLINKS; i++) {
    draw_picture(row, column, TILE_BLANK);
    present();
    linger(BLINK_FRAMES);
    draw_picture(row, column, first_tile);
    present();
    linger(BLINK_FRAMES);
  }
}

// The bars follow the HP pixel by pixel.
static void settle_bars(void) {
  uint8_t foe_goal = bar_pixels(&foe), own_goal = bar_pixels(&own);
  draw_number(10, 10, own.hp[1]);
  while (foe_pixels != foe_goal || own_pixels != own_goal) {
    if (foe_pixels > foe_goal) foe_pixels--;
    if (foe_pixels < foe_goal) foe_pixels++;
    if (own_pixels > own_goal) own_pixels--;
    if (own_pixels < own_goal) own_pixels++;
    draw_bar(3, 1, foe_pixels);
    draw_bar(9, 10, own_pixels);
    present();
  }
  present();
}

static void keep_hp(void) {
  party[active_slot].hp[1] = own.hp[1];
  if (in_trainer_battle) enemy_party[team_next - 1].hp[1] = foe.hp[1];
}

// Damage of the loaded move; `effect` is 2 (neutral), 4 or 1.
static uint8_t damage(const Fighter *from, const Fighter *to, uint8_t effect) {
  uint8_t power = move.power + from->attack[1];
  uint8_t luck = random_byte();
  // 0, 1 or 2 more, in the proportions 1 : 2 : 1
  if (luck & 1) power++;
  if (luck & 2) power++;
  if (power > to->defense[1]) {
    power -= to->defense[1];
  } else {
    power = 1;
  }
  if (effect > 2) return power << 1;
  if (effect < 2) return (power + 1) >> 1;
  return power;
}

static void strike(uint8_t is_own, uint8_t number) {
  const Fighter *from = is_own ? &own : &foe;
  Fighter *to = is_own ? &foe : &own;
  const uint8_t *name = is_own ? own_name : foe_name;
  uint8_t effect, hit;
  load_move(number);
  say_first(name, text_uses);
  say_second(move.name, text_none);
  pause();
  if (random_byte() >= move.accuracy) {
    say(name, text_misses);
    return;
  }
  effect = effects[move.type * NUM_TYPES + to->type1];
  hit = damage(from, to, effect);
  if (is_own) {
    blink(FOE_ROW, FOE_COLUMN, FOE_PICTURE);
  } else {
    blink(OWN_ROW, OWN_COLUMN, OWN_PICTURE);
  }
  to->hp[1] = hit < to->hp[1] ? to->hp[1] - hit : 0;
  keep_hp();
  settle_bars();
  if (effect > 2) say(text_strong, text_none);
  if (effect < 2) say(text_weak, text_none);
}

static uint8_t foe_move(void) {
  uint8_t i = random_byte() & 3;
  while (!foe.moves[i]) i = i ? i - 1 : MAX_MOVES - 1;
  return foe.moves[i];
}

static void foe_strikes(void) { strike(0, foe_move()); }

static void exchange(uint8_t number) {
  if (own.speed[1] >= foe.speed[1]) {
    strike(1, number);
    if (foe.hp[1]) foe_strikes();
  } else {
    foe_strikes();
    if (own.hp[1]) strike(1, number);
  }
}

static void draw_stat(uint8_t row, const uint8_t *name, uint8_t value) {
  draw_text(row, 8, name);
  draw_number(row, 16, value);
}

// A page of a member's numbers, over the right of the screen.
void draw_stats(uint8_t slot) {
  const Member *member = &party[slot];
  uint8_t i;
  draw_box(0, 6, 12, 14);
  copy_name(line, member->species);
  draw_text(1, 8, line);
  draw_stat(2, text_level, member->level);
  draw_stat(3, text_stat_hp, member->max_hp[1]);
  draw_stat(4, text_stat_attack, member->attack[1]);
  draw_stat(5, text_stat_defense, member->defense[1]);
  draw_stat(6, text_stat_speed, member->speed[1]);
  for (i = 0; i < MAX_MOVES && member->moves[i]; i++) {
    load_move(member->moves[i]);
    draw_text(7 + i, 8, move.name);
  }
}

static void learn_at(uint8_t level) {
  uint8_t i, number;
  for (i = 0; i < kind.num_moves; i++) {
    if (kind.moves[i + i + 1] != level) continue;
    number = kind.moves[i + i];
    if (!member_learns(active_slot, number)) continue;
    load_move(number);
    say_first(own_name, text_learns);
    say_second(move.name, text_none);
    pause();
  }
}

static void rise(uint8_t level) {
  member_set_level(active_slot, level);
  load_own(active_slot);
  draw_own();
  say(own_name, text_grows);
  draw_stats(active_slot);
  pause();
  wait_keys(KEY_A | KEY_B, MESSAGE_FRAMES);
  load_kind(own.species);
  draw_all();
  present();
  learn_at(level);
  load_own(active_slot);
}

static void gain_xp(void) {
  Member *member = &party[active_slot];
  uint16_t xp = ((uint16_t)member->xp[1] << 8) | member->xp[2];
  uint16_t gain;
  load_kind(foe.species);
  gain = (uint16_t)kind.xp * foe.level;
  if (in_trainer_battle) gain += gain >> 1;
  say_first(own_name, text_none);
  line_start();
  line_add(text_gains);
  line_letter(TILE_BLANK);
  line_number(gain);
  line_letter(TILE_BLANK);
  line_add(text_xp);
  reveal_line(LINE_2);
  xp += gain;
  if (xp > xp_of_level[MAX_LEVEL]) xp = xp_of_level[MAX_LEVEL];
  member->xp[1] = (uint8_t)(xp >> 8);
  member->xp[2] = (uint8_t)xp;
  pause();
  while (member->level < MAX_LEVEL && xp >= xp_of_level[member->level + 1]) {
    rise(member->level + 1);
  }
}

static void foe_fell(void) {
  say_first(foe_name, text_faints);
  erase_foe();
  pause();
  gain_xp();
  if (!in_trainer_battle || team_next == trainer.size) {
    battle_result = RESULT_WON;
    over = 1;
    return;
  }
  next_of_team();
  load_picture(FOE_PICTURE, foe.species);
  say_first(trainer.name, text_sends);
  dex_mark(dex_seen, foe.species);
  draw_foe();
  draw_picture(FOE_ROW, FOE_COLUMN, FOE_PICTURE);
  say_second(foe_name, text_none);
  pause();
}

// The party over the whole screen; returns a slot, CANCEL or TIMED_OUT.
uint8_t choose_member(const uint8_t *question, uint8_t cancels) {
  uint8_t slot, row = 0;
  draw_blank();
  draw_message_box();
  draw_text(LINE_1, 1, question);
  for (slot = 0; slot < party_size; slot++) {
    copy_name(line, party[slot].species);
    draw_text(row, 2, line);
    draw_level(row, 10, party[slot].level);
    draw_number(row, 13, party[slot].hp[1]);
    draw_tile(row, 16, TILE_SLASH);
    draw_number(row, 17, party[slot].max_hp[1]);
    row += 2;
  }
  return choose_entry(0, 1, party_size, 2, MENU_FRAMES, cancels);
}

static void send_out(uint8_t slot) {
  load_own(slot);
  load_own_picture();
  draw_all();
  say(text_go, own_name);
}

static uint8_t num_able(void) {
  uint8_t slot, count = 0;
  for (slot = 0; slot < party_size; slot++) {
    if (party[slot].hp[1]) count++;
  }
  return count;
}

static void own_fell(void) {
  uint8_t slot;
  say_first(own_name, text_faints);
  erase_own();
  pause();
  slot = party_first_able();
  if (slot == party_size) {
    battle_result = RESULT_LOST;
    over = 1;
    return;
  }
  if (num_able() > 1) {
    do {
      slot = choose_member(text_menu_ask, 0);
      if (slot == TIMED_OUT) slot = party_first_able();
    } while (!party[slot].hp[1]);
  }
  send_out(slot);
}

// Returns whether the turn is used.
static uint8_t switch_member(void) {
  uint8_t slot = choose_member(text_menu_ask, KEY_B);
  uint8_t possible = slot < TIMED_OUT && slot != active_slot;
  if (possible && party[slot].hp[1]) {
    draw_all();
    say(text_come_back, own_name);
    send_out(slot);
    return 1;
  }
  draw_all();
  if (possible) say(text_too_weak, text_none);
  return 0;
}

// Easier the weaker the foe: the chance doubles from full HP to none.
static uint8_t throw_lantern(void) {
  uint16_t chance;
  if (in_trainer_battle) {
    say(text_kept, text_none);
    return 0;
  }
  bag_remove(LANTERN);
  chance = foe.catch_rate;
  chance += chance * (foe.max_hp[1] - foe.hp[1]) / foe.max_hp[1];
  blink(FOE_ROW, FOE_COLUMN, FOE_PICTURE);
  if (random_byte() >= chance) {
    say(text_slipped, text_none);
    return 1;
  }
  captured_species = foe.species;
  erase(FOE_ROW, FOE_COLUMN, 4, 4);
  party_add(foe.species, foe.level);
  say(foe_name, text_caught);
  battle_result = RESULT_LEFT;
  over = 1;
  return 1;
}

static uint8_t use_salve(const Item *item) {
  if (own.hp[1] == own.max_hp[1]) {
    say(text_fit, text_none);
    return 0;
  }
  bag_remove(item->id);
  say_first(text_salve_used, own_name);
  if (own.max_hp[1] - own.hp[1] > item->heal) {
    own.hp[1] += item->heal;
  } else {
    own.hp[1] = own.max_hp[1];
  }
  keep_hp();
  settle_bars();
  pause();
  return 1;
}

// What can be used in battle, by name and number. Returns whether the turn is
// used.
static uint8_t open_bag(void) {
  const Item *shown[4];
  uint8_t i, count = 0;
  const Item *item;
  draw_message_box();
  for (i = 0; i < bag_count && count < 4; i++) {
    item = item_of(bag_items[i + i]);
    if (item->kind == KIND_KEY) continue;
    draw_text(13 + count, 2, item->name);
    line_start();
    line_letter(TILE_TIMES);
    line_number(bag_items[i + i + 1]);
    draw_text(13 + count, 14, line);
    shown[count++] = item;
  }
  if (!count) {
    say(text_empty_bag, text_none);
    return 0;
  }
  i = choose_entry(13, 1, count, 1, MENU_FRAMES, KEY_B);
  draw_message_box();
  if (i >= TIMED_OUT) return 0;
  if (shown[i]->kind == KIND_LANTERN) return throw_lantern();
  return use_salve(shown[i]);
}

static uint8_t run(void) {
  uint8_t hindered = own.speed[1] >= foe.speed[1] ? 48 : 112;
  if (in_trainer_battle) {
    say(text_no_way, text_none);
    return 0;
  }
  if (random_byte() < hindered) {
    say(text_no_way, text_none);
    return 1;
  }
  say(text_ran, text_none);
  battle_result = RESULT_LEFT;
  over = 1;
  return 1;
}

// A known move; undecided for MENU_FRAMES, the marked one counts. 0 at B.
static uint8_t choose_move(void) {
  uint8_t i, count = 0;
  draw_message_box();
  for (i = 0; i < MAX_MOVES && own.moves[i]; i++) {
    load_move(own.moves[i]);
    draw_text(13 + i, 2, move.name);
    count++;
  }
  i = choose_entry(13, 1, count, 1, MENU_FRAMES, KEY_B);
  draw_message_box();
  if (i == CANCEL) return 0;
  return own.moves[i == TIMED_OUT ? menu_item : i];
}

// One choice, and what follows from it. After a long wait the first move is
// made: a player who only cancels gets on as well.
static void take_turn(void) {
  uint8_t number, used = 0;
  draw_message_box();
  draw_text(LINE_1, 1, text_menu_ask);
  draw_box(BOX_ROW, 8, 6, 12);
  draw_text(13, 11, text_menu_attack);
  draw_text(14, 11, text_menu_catch);
  draw_text(15, 11, text_menu_switch);
  draw_text(16, 11, text_menu_run);
  number = choose_entry(13, 10, 4, 1, MENU_FRAMES, 0);
  draw_message_box();
  if (number == TIMED_OUT) {
    exchange(own.moves[0]);
    return;
  }
  switch (number) {
    case ITEM_ATTACK:
      number = choose_move();
      if (number) exchange(number);
      return;
    case ITEM_BAG:
      used = open_bag();
      break;
    case ITEM_SWITCH:
      used = switch_member();
      break;
    default:
      used = run();
  }
  if (used && !over) foe_strikes();
}

static void evolve_party(void) {
  uint8_t slot;
  for (slot = 0; slot < party_size; slot++) {
    if (!party[slot].hp[1] || !member_evolution(slot)) continue;
    load_own(slot);
    load_own_picture();
    foe.hp[1] = 0;
    draw_all();
    say(own_name, text_evolves);
    member_evolve(slot);
    // The old shape and the new one take turns.
    load_picture(OWN_PICTURE, party[slot].species);
    blink(OWN_ROW, OWN_COLUMN, OWN_PICTURE);
    load_picture(OWN_PICTURE, own.species);
    blink(OWN_ROW, OWN_COLUMN, OWN_PICTURE);
    load_own(slot);
    load_own_picture();
    draw_all();
    say(own_name, text_none);
    draw_stats(slot);
    pause();
    wait_keys(KEY_A | KEY_B, MESSAGE_FRAMES);
    draw_all();
  }
}

static void forget(void) {
  in_battle = BATTLE_NONE;
  current_opponent = 0;
  captured_species = 0;
  trainer_class = 0;
}

static void leave(void) {
  fade_out();
  forget();
  window_off();
  restore_screen_tiles();
  place_people();
  fade_in();
}

static void black_out(void) {
  const Respawn *place = respawns;
  in_battle = BATTLE_BLACKOUT;
  clear_lines();
  compose_line(text_blackout_1, text_none);
  reveal_line(LINE_1);
  compose_line(text_blackout_2, text_none);
  reveal_line(LINE_2);
  pause();
  wait_keys(KEY_A | KEY_B, MESSAGE_FRAMES);
  halve_money();
  while (place->map && place->map != blackout_map) place++;
  if (!place->map) place = respawns;
  fade_out();
  facing = FACE_DOWN;
  enter_map(place->map, place->x, place->y);
  party_heal();
  forget();
  fade_in();
}

static void win_trainer(void) {
  line_start();
  line_add(text_prize);
  clear_lines();
  reveal_line(LINE_1);
  line_start();
  line_number((uint16_t)trainer.prize * 100);
  reveal_line(LINE_2);
  set_money_hundreds(money_hundreds() + trainer.prize);
  pause();
  leave();
  if (trainer.badge != NONE) {
    badges |= (uint8_t)(1 << trainer.badge);
    badges_copy = badges;
  }
  set_flag(trainer.flag);
  text_say_far(trainer.won_text);
  text_close();
  if (trainer.ends_game) game_won = 1;
}

// The screen darkens while the battle is drawn unseen.
static void begin(void) {
  fade_out();
  hide_sprites();
  load_picture(FOE_PICTURE, foe.species);
  load_own_picture();
  window_off();  // forgets what the drawing marked
  draw_all();
  present();
  window_full();
  frame();
  fade_in();
  fade_out();
  fade_in();
}

void battle_run(void) {
  over = 0;
  captured_species = 0;
  battle_result = 0;
  text_box_id = 1;
  if (in_trainer_battle) {
    in_battle = BATTLE_TRAINER;
    trainer_class = trainer.kind;
    current_opponent = 200 + trainer_class;
  } else {
    in_battle = BATTLE_WILD;
    current_opponent = foe.species;
  }
  begin();
  dex_mark(dex_seen, foe.species);
  if (in_trainer_battle) {
    say_first(trainer.name, text_sends);
    say_second(foe_name, text_none);
  } else {
    say_first(text_wild, foe_name);
    say_second(text_appears, text_none);
  }
  pause();
  while (!over) {
    take_turn();
    // Both may have fallen: the own one is replaced first.
    if (!over && !own.hp[1]) own_fell();
    if (!over && !foe.hp[1]) foe_fell();
  }
  if (battle_result == RESULT_LOST) {
    black_out();
    return;
  }
  evolve_party();
  if (in_trainer_battle) {
    win_trainer();
  } else {
    leave();
  }
}

