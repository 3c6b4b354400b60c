# The entry of store.c.
.include "common.inc"
_start:
    mov $stack, %esp
    call store_main
1:  hlt
    jmp 1b
.bss
.align 16
.skip 4096
stack:
