// Letters one by one, lines put together from parts, menus.
#ifndef TEXT_FULL_H
#define TEXT_FULL_H

#include <stdint.h>

extern uint8_t line[24];  // the line that is being put together

void line_start(void);
void line_add(const uint8_t *text);
void line_letter(uint8_t tile);
void line_number(uint16_t value);
const uint8_t *reveal(uint8_t row, const uint8_t *text, uint8_t letter_frames);
void text_open(void);
void text_say_far(uint16_t text);
uint8_t choose_entry(uint8_t row, uint8_t column, uint8_t count, uint8_t pitch,
                     uint16_t frames, uint8_t cancels);

#define TIMED_OUT 0xFE  // of `choose_entry`, beside CANCEL

#endif
