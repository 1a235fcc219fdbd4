// What a full world adds to `field.h`.
#ifndef FIELD_FULL_H
#define FIELD_FULL_H

#include <stdint.h>

void talk_to(uint8_t person);
uint8_t meet_trainers(void);
void field_menu(void);
void put_player(uint8_t walking);
void slide_figure(uint8_t slot, uint8_t dx, uint8_t dy);
void under_script(uint8_t on);

#endif
