# Resets itself by the keyboard controller. Memory is new after each reset: it can't count, so it does so for ever.
.include "common.inc"
_start:
    mov $stack, %esp
    cmpl $0, marker
    jne 3f
    movl $1, marker
    say born
    mov $PULSE_RESET, %al
    out %al, $I8042_COMMAND
1:  hlt
    jmp 1b
3:  say stale
    power_off
.bss
.skip 1024
stack:
marker: .long 0
.section .rodata
born: .asciz "born\r\n"
stale: .asciz "memory has survived\r\n"
