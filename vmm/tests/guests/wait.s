# Halts with interrupts off, for ever: only the monitor can end it. Says what it is told by its serial port before.
.include "common.inc"
.set INTERRUPT_ENABLE, COM1 + 1
.set LINE_STATUS, COM1 + 5
.set DATA_READY, 1
_start:
    mov $stack, %esp
    # As a stock kernel does, so that what is typed raises the interrupt line; the interrupt itself is never taken.
    mov $INTERRUPT_ENABLE, %dx
    mov $DATA_READY, %al
    out %al, %dx
    say ready
1:  mov $LINE_STATUS, %dx
    in %dx, %al
    test $DATA_READY, %al
    jz 1b
    mov $COM1, %dx
    in %dx, %al
    out %al, %dx
    cmp $'.', %al
    jne 1b
    cli
2:  hlt
    jmp 2b
.bss
.skip 1024
stack:
.section .rodata
ready: .asciz "ready\r\n"
