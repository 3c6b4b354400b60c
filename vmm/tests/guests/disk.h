/* Requests to a virtio block device, one at a time, with virtio.h. */
enum { READ_SECTOR = 0, WRITE_SECTOR = 1, FLUSH = 4, GET_ID = 8 };

static struct queue queue;
static struct { u32 type, reserved; u64 sector; } header;
static volatile u8 status;
static char sector[513];

/* Resets the device and takes its first queue. */
static void start_disk(void)
{
    map_device();
    negotiate(0);
    enable_queue(&queue, 0);
    w8(STATUS, 15);
}

/* Reads or writes so many bytes of `sector`; gives what the device says of it, 0 if it is done. */
static u8 attempt(u32 type, u32 number, u32 length)
{
    u32 last = 1;
    header.type = type;
    header.sector = number;
    status = 0xff;
    describe(&queue, 0, &header, sizeof header, NEXT);
    if (length)
        describe(&queue, last++, sector, length, type == WRITE_SECTOR ? NEXT : NEXT | WRITE);
    describe(&queue, last, &status, 1, WRITE);
    offer(&queue, 0);
    finish(&queue);
    return status;
}

/* The same, if it must be done. */
static void request(u32 type, u32 number, u32 length)
{
    if (attempt(type, number, length))
        fail("the device reports an error");
}
