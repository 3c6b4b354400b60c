# Says hello, with what it finds in the PVH start info, and powers off.
.include "common.inc"
_start:
    mov $stack, %esp
    mov %ebx, %ebp
    cmpl $0x336ec578, (%ebp)
    jne 3f
    say hello
    mov 24(%ebp), %esi
    call print
    say newline
3:  power_off
.bss
.skip 1024
stack:
.section .rodata
hello: .asciz "Hello from a guest, told: "
newline: .asciz "\r\n"
