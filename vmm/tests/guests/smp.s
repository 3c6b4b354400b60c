# Starts the second CPU by INIT and SIPI, waits until it has run, and powers off.
.include "common.inc"
.set ICR_LOW, 0xfee00300
.set ICR_HIGH, 0xfee00310
.set SVR, 0xfee000f0
.set TRAMPOLINE, 0x8000
_start:
    mov $stack, %esp
    say first
    mov $trampoline, %esi
    mov $TRAMPOLINE, %edi
    mov $(trampoline_end - trampoline), %ecx
    rep movsb
    movl $0x1ff, SVR
    movl $(1 << 24), ICR_HIGH
    movl $0x4500, ICR_LOW
    movl $(1 << 24), ICR_HIGH
    movl $(0x4600 | (TRAMPOLINE >> 12)), ICR_LOW
1:  pause
    cmpl $0x5ec0d, TRAMPOLINE + 0xff0
    jne 1b
    say both
    power_off

.code16
trampoline:
    xor %ax, %ax
    mov %ax, %ds
    movl $0x5ec0d, TRAMPOLINE + 0xff0
2:  hlt
    jmp 2b
trampoline_end:
.bss
.skip 1024
stack:
.section .rodata
first: .asciz "first CPU\r\n"
both: .asciz "second CPU has run\r\n"
