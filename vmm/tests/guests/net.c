/*
 * Uses two pairs of queues of the first virtio network device. Answers a frame twice, with its letters made capitals, resets the
 * device, does the same once more, and powers off. It says when it is ready for a frame.
 */
#include "virtio.h"

enum { HEADER = 12, ETHERNET = 14, CTRL_VQ = 1 << 17, MQ = 1 << 22 };

static struct queue receive[2], transmit, control;
static u8 buffers[2][2048], command[5];

static void use_two_pairs(void)
{
    command[0] = 4;
    command[1] = 0;
    command[2] = 2;
    command[3] = 0;
    command[4] = 0xff;
    describe(&control, 0, command, 4, NEXT);
    describe(&control, 1, command + 4, 1, WRITE);
    offer(&control, 0);
    finish(&control);
    if (command[4])
        fail("two pairs were refused");
}

static void start(void)
{
    negotiate(CTRL_VQ | MQ);
    enable_queue(&receive[0], 0);
    enable_queue(&transmit, 1);
    enable_queue(&receive[1], 2);
    enable_queue(&control, 4);
    w8(STATUS, 15);
    use_two_pairs();
    for (u32 pair = 0; pair < 2; pair++) {
        describe(&receive[pair], 0, buffers[pair], sizeof buffers[pair], WRITE);
        offer(&receive[pair], 0);
    }
}

static void answer(u32 pair)
{
    u32 length = receive[pair].used.ring[0].length;
    u8 *frame = buffers[pair];
    for (u32 i = HEADER + ETHERNET; i < length; i++)
        if (frame[i] >= 'a' && frame[i] <= 'z')
            frame[i] -= 32;
    frame[10] = 0;
    describe(&transmit, 0, frame, length, 0);
    describe(&transmit, 1, frame, length, 0);
    offer(&transmit, 0);
    offer(&transmit, 1);
    finish(&transmit);
}

void net_main(void)
{
    find_device(0x10411af4u);
    map_device();
    for (u32 round = 0; round < 2; round++) {
        start();
        print("ready\r\n");
        while (!receive[0].used.index && !receive[1].used.index)
            ;
        answer(receive[0].used.index ? 0 : 1);
    }
    print("done\r\n");
    power_off();
}
