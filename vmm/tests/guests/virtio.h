/*
 * What the guests with a virtio driver share: ports, the PCI bus, one device and its queues.
 *
 * 32-bit code without paging, so it first moves the device's memory below 4 GiB. It waits for the device by looking at
 * the used ring, a bounded number of times.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define BAR_PLACE 0xc0000000u
#define SIZE 8

static void outb(u16 port, u8 v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static void outw(u16 port, u16 v) { __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port)); }
static void outl(u16 port, u32 v) { __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port)); }
static u32 inl(u16 port) { u32 v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port)); return v; }

static void print(const char *text) { while (*text) outb(0x3f8, (u8)*text++); }
static void power_off(void) { outw(0x604, 0x3400); for (;;) __asm__ volatile("hlt"); }
static void fail(const char *why) { print("FAILED: "); print(why); print("\r\n"); power_off(); }

static u32 slot;
static u32 config_read(u32 at) { outl(0xcf8, 0x80000000u | slot << 11 | (at & ~3u)); return inl(0xcfc); }
static void config_write(u32 at, u32 v) { outl(0xcf8, 0x80000000u | slot << 11 | (at & ~3u)); outl(0xcfc, v); }

/* The common configuration structure (virtio 1.2, 4.1.4.3), by offset. */
enum { DEVICE_FEATURE_SELECT = 0, DEVICE_FEATURE = 4, DRIVER_FEATURE_SELECT = 8, DRIVER_FEATURE = 12, STATUS = 20,
       QUEUE_SELECT = 22, QUEUE_SIZE = 24, QUEUE_VECTOR = 26, QUEUE_ENABLE = 28, QUEUE_NOTIFY_OFF = 30,
       QUEUE_DESC = 32, QUEUE_DRIVER = 40, QUEUE_DEVICE = 48 };
static u32 common, notify, multiplier;
static void w8(u32 at, u8 v) { *(volatile u8 *)(common + at) = v; }
static void w16(u32 at, u16 v) { *(volatile u16 *)(common + at) = v; }
static void w32(u32 at, u32 v) { *(volatile u32 *)(common + at) = v; }
static u8 r8(u32 at) { return *(volatile u8 *)(common + at); }
static u16 r16(u32 at) { return *(volatile u16 *)(common + at); }
static u32 r32(u32 at) { return *(volatile u32 *)(common + at); }

struct descriptor { u64 address; u32 length; u16 flags, next; };
struct queue {
    struct descriptor descriptors[SIZE] __attribute__((aligned(16)));
    struct { volatile u16 flags, index, ring[SIZE]; } available;
    struct { volatile u16 flags, index; struct { u32 id, length; } ring[SIZE]; } used __attribute__((aligned(4)));
    u16 number;
};
enum { NEXT = 1, WRITE = 2 };

/* Finds the first device of this kind: 0x1040 and the device id, as the configuration space has it. */
static void find_device(u32 identity)
{
    for (slot = 1; slot < 32; slot++)
        if (config_read(0) == identity)
            return;
    fail("no such device");
}

static void map_device(void)
{
    u32 bars = 0;
    for (u32 at = config_read(0x34) & 0xff; at; at = config_read(at) >> 8 & 0xff) {
        u32 head = config_read(at), bar = config_read(at + 4) & 0xff, offset = config_read(at + 8);
        if ((head & 0xff) != 9)
            continue;
        switch (head >> 24) {
        case 1: common = BAR_PLACE + offset; bars |= 1u << bar; break;
        case 2: notify = BAR_PLACE + offset; bars |= 1u << bar; multiplier = config_read(at + 16); break;
        }
    }
    if (!common || !notify || (bars & (bars - 1)))
        fail("not the capabilities of one memory range");
    u32 bar = 0x10;
    while (!(bars & 1)) { bars >>= 1; bar += 4; }
    config_write(bar, BAR_PLACE);
    config_write(bar + 4, 0);
    config_write(4, config_read(4) | 6);
}

/* Resets the device and agrees on these features, which are among the first 32, and on virtio 1. */
static void negotiate(u32 features)
{
    w8(STATUS, 0);
    for (u32 patience = 20000000; r8(STATUS); patience--)
        if (!patience)
            fail("the device hangs in its reset");
    w8(STATUS, 1);
    w8(STATUS, 3);
    w32(DEVICE_FEATURE_SELECT, 1);
    if (!(r32(DEVICE_FEATURE) & 1))
        fail("not a device of virtio 1");
    w32(DRIVER_FEATURE_SELECT, 0);
    w32(DRIVER_FEATURE, features);
    w32(DRIVER_FEATURE_SELECT, 1);
    w32(DRIVER_FEATURE, 1);
    w8(STATUS, 11);
    if (!(r8(STATUS) & 8))
        fail("features refused");
}

static void enable_queue(struct queue *queue, u16 number)
{
    queue->number = number;
    queue->available.index = 0;
    queue->used.index = 0;
    w16(QUEUE_SELECT, number);
    w16(QUEUE_SIZE, SIZE);
    w16(QUEUE_VECTOR, 0xffff);
    w32(QUEUE_DESC, (u32)queue->descriptors);
    w32(QUEUE_DESC + 4, 0);
    w32(QUEUE_DRIVER, (u32)&queue->available);
    w32(QUEUE_DRIVER + 4, 0);
    w32(QUEUE_DEVICE, (u32)&queue->used);
    w32(QUEUE_DEVICE + 4, 0);
    w16(QUEUE_ENABLE, 1);
}

static void describe(struct queue *queue, u32 at, volatile void *address, u32 length, u16 flags)
{
    queue->descriptors[at].address = (u32)address;
    queue->descriptors[at].length = length;
    queue->descriptors[at].flags = flags;
    queue->descriptors[at].next = (u16)(at + 1);
}

/* Makes the request at descriptor `head` available. */
static void offer(struct queue *queue, u16 head)
{
    queue->available.ring[queue->available.index % SIZE] = head;
    __asm__ volatile("" ::: "memory");
    queue->available.index = (u16)(queue->available.index + 1);
    w16(QUEUE_SELECT, queue->number);
    *(volatile u16 *)(notify + r16(QUEUE_NOTIFY_OFF) * multiplier) = queue->number;
}

/* Waits until all that was offered is used. */
static void finish(struct queue *queue)
{
    for (u32 patience = 20000000; queue->used.index != queue->available.index; patience--)
        if (!patience)
            fail("the device does not answer");
}
