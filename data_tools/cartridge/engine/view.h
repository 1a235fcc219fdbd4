// What is seen of the field: the map's tiles and the figures.
#ifndef VIEW_H
#define VIEW_H

#include <stdint.h>

void restore_screen_tiles(void);
void place_people(void);
void hide_people_below(uint8_t cell_row);
void hide_sprites(void);

#endif
