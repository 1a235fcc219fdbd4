; Reset, interrupt vectors, start-up and the vertical-blank handler.
; Video memory is written here and nowhere else once the screen is on.

        .module crt0
        .globl  _main
        .globl  _vram_queue, _vram_ready, _vblank_seen, _vblank_end_line
        .globl  _scroll_x, _scroll_y, _window_y, _lcd_control, _bg_palette

        .area   _HEADER (ABS)
        .org    0x00
        reti
        .org    0x08
        reti
        .org    0x10
        reti
        .org    0x18
        reti
        .org    0x20
        reti
        .org    0x28
        reti
        .org    0x30
        reti
        .org    0x38
        reti
        .org    0x40
        jp      vblank
        .org    0x48
        reti
        .org    0x50
        reti
        .org    0x58
        reti
        .org    0x60
        reti

        .org    0x100
        nop
        jp      start

        .org    0x150
start:
        di
        ld      sp, #0xdfff
        xor     a
        ld      hl, #0xc000
clear_wram:
        ld      (hl+), a
        bit     5, h
        jr      Z, clear_wram   ; until 0xe000
        ld      hl, #0xff80
        ld      b, #0x7f
clear_hram:
        ld      (hl+), a
        dec     b
        jr      NZ, clear_hram
        ; sprite DMA has to run from high memory
        ld      hl, #dma_code
        ld      de, #0xff80
        ld      b, #dma_end - dma_code
copy_dma:
        ld      a, (hl+)
        ld      (de), a
        inc     de
        dec     b
        jr      NZ, copy_dma
        ; initialised variables
        ld      de, #s__INITIALIZED
        ld      hl, #s__INITIALIZER
        ld      bc, #l__INITIALIZER
copy_initial:
        ld      a, b
        or      c
        jr      Z, go
        ld      a, (hl+)
        ld      (de), a
        inc     de
        dec     bc
        jr      copy_initial
go:
        call    _main
stop:
        halt
        jr      stop

dma_code:
        ld      a, #0xc3        ; sprites at 0xc300
        ldh     (0x46), a
        ld      a, #0x28
dma_wait:
        dec     a
        jr      NZ, dma_wait
        ret
dma_end:

        .area   _HOME
        .area   _CODE
        .area   _INITIALIZER
        .area   _GSINIT
        .area   _GSFINAL
        .area   _DATA
        .area   _INITIALIZED
        .area   _BSEG
        .area   _BSS
        .area   _HEAP

        .area   _CODE
; Registers first, then sprites, then the queue: commands of
; (count, stride, address, count bytes); count 0 ends it. Rows (stride 1)
; have an even count and never cross a 256-byte page.
vblank:
        push    af
        push    bc
        push    de
        push    hl
        ld      a, (_scroll_x)
        ldh     (0x43), a
        ld      a, (_scroll_y)
        ldh     (0x42), a
        ld      a, (_window_y)
        ldh     (0x4a), a
        ld      a, (_bg_palette)
        ldh     (0x47), a
        ld      a, (_lcd_control)
        ldh     (0x40), a
        call    0xff80
        ld      a, (_vram_ready)
        or      a
        jr      Z, queue_done
        ld      hl, #_vram_queue
next_command:
        ld      a, (hl+)
        or      a
        jr      Z, queue_empty
        ld      b, a
        ld      a, (hl+)
        ld      c, a
        ld      a, (hl+)
        ld      e, a
        ld      a, (hl+)
        ld      d, a
        ld      a, c
        dec     a
        jr      NZ, column
row:
        ld      a, (hl+)
        ld      (de), a
        inc     e
        ld      a, (hl+)
        ld      (de), a
        inc     e
        dec     b
        dec     b
        jr      NZ, row
        jr      next_command
column:
        ld      a, (hl+)
        ld      (de), a
        ld      a, e
        add     a, c
        ld      e, a
        jr      NC, same_page
        inc     d
same_page:
        dec     b
        jr      NZ, column
        jr      next_command
queue_empty:
        xor     a
        ld      (_vram_ready), a
queue_done:
        ldh     a, (0x44)
        ld      (_vblank_end_line), a
        ld      a, #1
        ld      (_vblank_seen), a
        pop     hl
        pop     de
        pop     bc
        pop     af
        reti
