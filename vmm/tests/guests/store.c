/*
 * Says of each virtio block device behind the first one what its serial number is, how many sectors it has and
 * what the fifth holds, writes to that sector that it was here, flushes, and halts: only the monitor can end it.
 */
#include "virtio.h"
#include "disk.h"

static void print_number(u32 number)
{
    if (number >= 10)
        print_number(number / 10);
    char digit[2] = {(char)('0' + number % 10), 0};
    print(digit);
}

/* How many sectors can be read. */
static u32 size(void)
{
    u32 there = 0, beyond = 0x80000000u;
    while (beyond - there > 1) {
        u32 middle = there + (beyond - there) / 2;
        if (attempt(READ_SECTOR, middle, 512))
            beyond = middle;
        else
            there = middle;
    }
    return beyond;
}

static void look(void)
{
    start_disk();
    request(GET_ID, 0, 20);
    print(sector);
    print(": ");
    print_number(size());
    print(" sectors, holds ");
    request(READ_SECTOR, 5, 512);
    print(*sector ? sector : "nothing");
    print("\r\n");
    const char *text = "what a guest has written";
    for (u32 i = 0; i < 512; i++)
        sector[i] = *text ? *text++ : 0;
    request(WRITE_SECTOR, 5, 512);
    request(FLUSH, 0, 0);
    for (u32 i = 0; i < 512; i++)
        sector[i] = 0;
    /* The next one comes to the same place in memory. */
    config_write(4, config_read(4) & ~6u);
}

void store_main(void)
{
    find_device(0x10421af4u);
    while (++slot < 32)
        if (config_read(0) == 0x10421af4u)
            look();
    print("looked\r\n");
    for (;;)
        __asm__ volatile("hlt");
}
