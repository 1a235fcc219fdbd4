// What a full world adds to `view.h`.
#ifndef VIEW_FULL_H
#define VIEW_FULL_H

#include <stdint.h>

#define STEP_FRAMES 16
#define HOP_FRAMES 32

extern uint8_t camera_x, camera_y;  // cell at the top left of the screen
extern uint8_t ring_x, ring_y;  // tile-map place of the top left screen tile
extern uint8_t foot;            // the one in front
extern uint8_t lift;            // pixels of the player above the ground
extern const uint8_t hop_arc[HOP_FRAMES];  // values of `lift`

void queue_edge_row(uint8_t view_row);
void queue_edge_column(uint8_t view_column);
void put_player(uint8_t walking);
void slide_figure(uint8_t slot, uint8_t dx, uint8_t dy);
void breathe(void);
void under_script(uint8_t on);

#endif
