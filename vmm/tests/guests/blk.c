/*
 * Reads sector 5 of the first virtio block device and prints it, writes what it read with its letters made capitals
 * to sector 6, flushes, reads that back and prints it, and powers off.
 */
#include "virtio.h"
#include "disk.h"

void blk_main(void)
{
    find_device(0x10421af4u);
    start_disk();
    request(READ_SECTOR, 5, 512);
    print("read: ");
    print(sector);
    for (char *c = sector; *c; c++)
        if (*c >= 'a' && *c <= 'z')
            *c -= 32;
    request(WRITE_SECTOR, 6, 512);
    request(FLUSH, 0, 0);
    for (u32 i = 0; i < 512; i++)
        sector[i] = 0;
    request(READ_SECTOR, 6, 512);
    print("\r\nwritten: ");
    print(sector);
    print("\r\n");
    power_off();
}
