# Takes an exception without a table of handlers: a triple fault.
.include "common.inc"
_start:
    mov $stack, %esp
    say farewell
    mov $0x1badcafe, %eax
    lidt no_table
    ud2
.bss
.skip 1024
stack:
.section .rodata
farewell: .asciz "about to fault\r\n"
no_table: .word 0
    .long 0
