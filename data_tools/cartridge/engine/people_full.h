// People of a full world, and the player's own menu.
#ifndef PEOPLE_FULL_H
#define PEOPLE_FULL_H

#include <stdint.h>

void talk_to(uint8_t person);
uint8_t meet_trainers(void);
void field_menu(void);

#endif
