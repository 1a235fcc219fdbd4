// Battles with wild creatures and with trainers.
#ifndef BATTLE_H
#define BATTLE_H

#include <stdint.h>

void battle_prepare_wild(uint8_t species, uint8_t level);
void battle_prepare_trainer(uint8_t trainer);
void battle_stage(uint8_t part);
void battle_run(void);

#endif
