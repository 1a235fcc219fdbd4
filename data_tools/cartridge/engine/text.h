// The text box at the bottom of the screen.
#ifndef TEXT_H
#define TEXT_H

#include <stdint.h>

#define BOX_ROW 12
#define LINE_1 14
#define LINE_2 16

// A text waits for A or B; a player who presses neither goes on after this.
#define READING_FRAMES 288  // 12 agent steps

uint8_t wait_keys(uint8_t keys, uint16_t frames);
void clear_line(uint8_t row);
void text_say(const uint8_t *text);
void text_close(void);

#endif
