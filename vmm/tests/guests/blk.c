/*
 * Reads sector 5 of the first virtio block device and prints it, writes what it read with its letters made capitals
 * to sector 6, flushes, reads that back and prints it, and powers off.
 */
#include "virtio.h"

static struct queue queue;
static struct { u32 type, reserved; u64 sector; } header;
static volatile u8 status;
static char sector[513];

static void request(u32 type, u32 number, u32 length)
{
    u32 last = 1;
    header.type = type;
    header.sector = number;
    status = 0xff;
    describe(&queue, 0, &header, sizeof header, NEXT);
    if (length)
        describe(&queue, last++, sector, length, type ? NEXT : NEXT | WRITE);
    describe(&queue, last, &status, 1, WRITE);
    offer(&queue, 0);
    finish(&queue);
    if (status)
        fail("the device reports an error");
}

void blk_main(void)
{
    find_device(0x10421af4u);
    map_device();
    negotiate(0);
    enable_queue(&queue, 0);
    w8(STATUS, 15);
    request(0, 5, 512);
    print("read: ");
    print(sector);
    for (char *c = sector; *c; c++)
        if (*c >= 'a' && *c <= 'z')
            *c -= 32;
    request(1, 6, 512);
    request(4, 0, 0);
    for (u32 i = 0; i < 512; i++)
        sector[i] = 0;
    request(0, 6, 512);
    print("\r\nwritten: ");
    print(sector);
    print("\r\n");
    power_off();
}
