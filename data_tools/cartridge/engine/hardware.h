// Game Boy registers that the engine uses.
#ifndef HARDWARE_H
#define HARDWARE_H

#include <stdint.h>

__sfr __at(0x00) JOYPAD;
__sfr __at(0x04) DIVIDER;
__sfr __at(0x0F) INTERRUPT_FLAGS;
__sfr __at(0x26) SOUND_ON;
__sfr __at(0x40) LCD_CONTROL;
__sfr __at(0x42) SCROLL_Y;
__sfr __at(0x43) SCROLL_X;
__sfr __at(0x44) LCD_LINE;
__sfr __at(0x47) BG_PALETTE;
__sfr __at(0x48) SPRITE_PALETTE_0;
__sfr __at(0x49) SPRITE_PALETTE_1;
__sfr __at(0x4A) WINDOW_Y;
__sfr __at(0x4B) WINDOW_X;
__sfr __at(0xFF) INTERRUPT_ENABLE;

// LCD_CONTROL: on, signed tile ids (0x00 at 0x9000), sprites, background.
#define LCD_BASE 0x83
#define LCD_WINDOW 0x20
#define LCD_BG_MAP 0x08
#define LCD_WINDOW_MAP 0x40

// Bits of `keys_held` and `keys_new`.
#define KEY_A 0x01
#define KEY_B 0x02
#define KEY_SELECT 0x04
#define KEY_START 0x08
#define KEY_RIGHT 0x10
#define KEY_LEFT 0x20
#define KEY_UP 0x40
#define KEY_DOWN 0x80
#define KEY_DIRECTIONS 0xF0

#endif
