; Copies from the banks of the ROM that are not mapped. Linked right after
; crt0: the code that switches banks has to lie in bank 0.

        .module banks
        .globl  _far_move, _far_bank, _far_from, _far_to, _far_count

        .area   _DATA
_far_bank:
        .ds     1
_far_from:
        .ds     2
_far_to:
        .ds     2
_far_count:
        .ds     2

        .area   _CODE
_far_move::
        push    bc
        push    de
        ld      a, (_far_bank)
        ld      (0x2000), a
        ld      hl, #_far_count
        ld      a, (hl+)
        ld      c, a
        ld      b, (hl)
        ld      hl, #_far_to
        ld      a, (hl+)
        ld      e, a
        ld      d, (hl)
        ld      hl, #_far_from
        ld      a, (hl+)
        ld      h, (hl)
        ld      l, a
far_byte:
        ld      a, (hl+)
        ld      (de), a
        inc     de
        dec     bc
        ld      a, b
        or      c
        jr      NZ, far_byte
        ld      a, #1
        ld      (0x2000), a
        pop     de
        pop     bc
        ret
