// Frames, buttons, chance, and everything that reaches the screen.
#ifndef VIDEO_H
#define VIDEO_H

#include <stdint.h>

#define SCREEN_COLUMNS 20
#define SCREEN_ROWS 18
#define NUM_SCREEN_TILES 360

// Tile ids with a meaning; letters follow the charset of the text.
#define FOE_PICTURE 0xC0  // no letters there
#define OWN_PICTURE 0xD0
#define TILE_BAR_LEFT 0x62
#define TILE_BAR_EMPTY 0x63  // eight more: 1..8 pixels filled
#define TILE_BAR_RIGHT 0x6C
#define TILE_LEVEL 0x6E
#define TILE_BLANK 0x7F
#define TILE_CURSOR 0xED
#define TILE_MORE 0xEE
#define TILE_SLASH 0xF3
#define TILE_TIMES 0xF1
#define TILE_ZERO 0xF6
#define TEXT_END 0x50
#define TEXT_LINE 0x4E
#define TEXT_PAGE 0x51

extern uint8_t keys_held, keys_new;
extern uint8_t scroll_x, scroll_y, window_y, lcd_control, bg_palette;
extern uint8_t *canvas;
extern uint8_t next_screen[NUM_SCREEN_TILES];

void video_start(void);
void frame(void);
uint8_t random_byte(void);
void queue(uint16_t address, const uint8_t *source, uint8_t count,
           uint8_t stride);
void queue_far(uint16_t address, uint8_t bank, uint16_t from, uint8_t count);
uint16_t hidden_map(void);
uint16_t shown_map(void);
void swap_maps(void);

void copy_bytes(uint8_t *to, const uint8_t *from, uint16_t count);
void draw_blank(void);
void draw_tile(uint8_t row, uint8_t column, uint8_t tile);
const uint8_t *draw_text(uint8_t row, uint8_t column, const uint8_t *text);
void draw_number(uint8_t row, uint8_t column, uint8_t value);
void draw_level(uint8_t row, uint8_t column, uint8_t level);
void draw_box(uint8_t row, uint8_t column, uint8_t rows, uint8_t columns);
void draw_picture(uint8_t row, uint8_t column, uint8_t first_tile);
void queue_picture(uint8_t first_tile, uint8_t picture, uint8_t part);
void queue_window_rows(uint8_t row, uint8_t count);
void present(void);
void window_full(void);
void window_box(void);
void window_off(void);

#endif
