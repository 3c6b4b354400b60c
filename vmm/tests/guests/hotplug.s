# Says what its PCI slots 1 and 2 hold at its start, and then what happens to them: it polls the registers of hot plug,
# acknowledges, and ejects what it is asked to, as the methods of the ACPI tables would.
.include "common.inc"
.set CONFIG_ADDRESS, 0xcf8
.set CONFIG_DATA, 0xcfc
.set CONFIG_ENABLE, 1 << 31
.set INSERTED, 0x610
.set LEAVING, 0x614
.set EJECT, 0x618
.set EVENT_STATUS, 0x60c

# slot NUMBER, TEXT: prints the string at TEXT if there is a function.
.macro slot number, text
    mov $CONFIG_ENABLE | \number << 11, %eax
    mov $CONFIG_ADDRESS, %dx
    out %eax, %dx
    mov $CONFIG_DATA, %dx
    in %dx, %eax
    cmp $-1, %eax
    je 8f
    say \text
8:
.endm

_start:
    mov $stack, %esp
    slot 1, first
    slot 2, second
    say up
1:  mov $EVENT_STATUS, %dx
    in %dx, %al
    test $2, %al
    jz 1b
    mov $2, %al
    out %al, %dx

    mov $INSERTED, %dx
    in %dx, %eax
    test %eax, %eax
    jz 2f
    out %eax, %dx
    say inserted
    slot 1, first
    slot 2, second
    say end

2:  mov $LEAVING, %dx
    in %dx, %eax
    test %eax, %eax
    jz 1b
    out %eax, %dx
    mov $EJECT, %dx
    out %eax, %dx
    say ejected
    jmp 1b
.bss
.skip 1024
stack:
.section .rodata
first: .asciz "1 "
second: .asciz "2 "
up: .asciz "up\r\n"
inserted: .asciz "inserted: "
end: .asciz "\r\n"
ejected: .asciz "ejected\r\n"
