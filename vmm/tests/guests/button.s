# Waits for the power button and powers itself off when it is pressed, as an operating system would.
.include "common.inc"
.set PM1_STATUS, 0x600
.set PWRBTN_STS, 1 << 8
_start:
    mov $stack, %esp
    say up
1:  mov $PM1_STATUS, %edx
    in %dx, %ax
    test $PWRBTN_STS, %ax
    jz 1b
    say pressed
    power_off
.bss
.skip 1024
stack:
.section .rodata
up: .asciz "up\r\n"
pressed: .asciz "pressed\r\n"
