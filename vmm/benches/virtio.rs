//! What a request costs without a guest: taking it from a ring and giving it back, reading what a driver asks of a
//! block device, and the whole way through a device with its threads: a volume in the page cache, and an interface on
//! datagram sockets.
//!
//! `cargo bench -p kiln-vmm --features testing`

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use kiln_vmm::testing::{Driver, Machine, readable, writable};
use kiln_vmm::virtio::blk::testing::{BlkConfig, Request};
use kiln_vmm::virtio::net;
use kiln_vmm::virtio::queue::{Ring, RingAddresses, RingLayout};
use std::hint::black_box;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const SIZE: u16 = 256;
const ADDRESSES: RingAddresses = RingAddresses {
    descriptors: 0x1000,
    available: 0x4000,
    used: 0x6000,
};

/// A ring full of block reads of three descriptors each.
fn memory() -> GuestMemoryMmap {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10_0000)]).expect("memory for a benchmark");
    let put = |at: u64, value: [u64; 2]| memory.write_obj(value, GuestAddress(at)).expect("rings are in memory");
    let chains = SIZE / 3;
    for chain in 0..u64::from(chains) {
        let first = ADDRESSES.descriptors + 48 * chain;
        let (header, data, next) = (0x2_0000 + 32 * chain, 0x4_0000 + 512 * chain, 3 * chain + 1);
        put(header, [0, chain]);
        put(first, [header, 16 | 1 << 32 | next << 48]);
        put(first + 16, [data, 512 | 3 << 32 | (next + 1) << 48]);
        put(first + 32, [header + 16, 1 | 2 << 32]);
        let head = u16::try_from(3 * chain).expect("a small ring");
        let entry = GuestAddress(ADDRESSES.available + 4 + 2 * chain);
        memory.write_obj(head, entry).expect("rings are in memory");
    }
    memory
        .write_obj(chains, GuestAddress(ADDRESSES.available + 2))
        .expect("rings are in memory");
    memory
}

fn ring(memory: &GuestMemoryMmap) -> Ring {
    let layout = RingLayout::check(ADDRESSES, SIZE, SIZE, memory).expect("rings are in memory");
    Ring::new(&layout, 1 << 29, None).expect("a fresh ring")
}

fn queue(c: &mut Criterion) {
    let memory = memory();
    let config = BlkConfig::new(1 << 20, false, 1, SIZE);
    let mut group = c.benchmark_group("queue");
    group.throughput(Throughput::Elements(u64::from(SIZE / 3)));
    group.bench_function("take and give back", |b| {
        b.iter_batched(
            || ring(&memory),
            |mut ring| {
                while let Some(chain) = ring.pop(&memory).expect("a good driver") {
                    ring.push(&memory, chain.head(), 513).expect("rings are in memory");
                }
                black_box(ring.needs_interrupt(&memory).expect("rings are in memory"))
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("take, read the request and give back", |b| {
        b.iter_batched(
            || ring(&memory),
            |mut ring| {
                while let Some(chain) = ring.pop(&memory).expect("a good driver") {
                    black_box(Request::read(&memory, &chain, &config).expect("a good request"));
                    ring.push(&memory, chain.head(), 513).expect("rings are in memory");
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn device(c: &mut Criterion) {
    const DEPTH: u64 = 16;
    let machine = Machine::default();
    let file = tempfile::tempfile().expect("a file");
    file.set_len(1 << 20).expect("a volume");
    let config = serde_json::json!({"read_only": false, "queues": 1});
    let slot = machine.add("blk", "vol-1", config, vec![file]).expect("a device");
    let (mut driver, _) = Driver::probe(&machine, slot, u64::MAX);
    let base = driver.queues[0].data();
    for number in 0..DEPTH {
        let header = GuestAddress(base + 0x2000 * number);
        machine
            .memory
            .write_obj([0u64, number * 8], header)
            .expect("buffers are in memory");
    }
    let mut group = c.benchmark_group("blk");
    group.throughput(Throughput::Elements(DEPTH));
    group.bench_function("16 reads of 4 KiB from the page cache", |b| {
        b.iter(|| {
            for number in 0..DEPTH {
                let at = base + 0x2000 * number;
                driver.add(
                    0,
                    &[readable(at, 16), writable(at + 0x1000, 4096), writable(at + 0x10, 1)],
                );
            }
            driver.notify(0);
            driver.wait_used(0, 16)
        });
    });
    group.finish();
}

fn network(c: &mut Criterion) {
    /// As many datagrams as a socket takes at once.
    const BURST: u64 = 8;
    let machine = Machine::default();
    let config = serde_json::json!({"mac": "02:00:5e:10:00:01", "mtu": 1500, "queue_pairs": 1, "offloads": true, "backend": "user_space"});
    let (slot, wires) = net::testing::add(&machine, &config);
    let (mut driver, _) = Driver::probe(&machine, slot, u64::MAX);
    let (to, from) = (driver.queues[0].data(), driver.queues[1].data());
    let mut group = c.benchmark_group("net");
    for (name, length) in [
        ("1500 bytes", 12 + 14 + 1500),
        ("64 KiB", net::testing::HEADER + net::testing::LONGEST),
    ] {
        let mut bytes = vec![0; length];
        let size = u32::try_from(length).expect("a frame");
        group.throughput(Throughput::Elements(BURST));
        group.bench_function(format!("8 frames of {name} from the guest"), |b| {
            b.iter(|| {
                for _ in 0..BURST {
                    driver.add(1, &[readable(from, size)]);
                }
                driver.notify(1);
                for _ in 0..BURST {
                    wires[0].recv(&mut bytes).expect("a frame");
                }
                driver.wait_used(1, 8);
            });
        });
        // They are to be segmented, or the long ones would be longer than the MTU.
        bytes.fill(0);
        bytes[..6].copy_from_slice(&[1, 1, 54, 0, 0xb4, 5]);
        // As Linux gives them: pages, of which a frame takes as many as it needs.
        let pages = u64::from(size.div_ceil(4096));
        let mut posted = 0;
        group.bench_function(format!("8 frames of {name} to the guest"), |b| {
            b.iter(|| {
                while posted < 8 * pages + 17 {
                    driver.add(0, &[writable(to + 4096 * (posted % 64), 4096)]);
                    posted += 1;
                }
                driver.notify(0);
                for _ in 0..BURST {
                    wires[0].send(&bytes).expect("a frame");
                }
                let count = usize::try_from(8 * pages).expect("few pages");
                posted -= u64::try_from(driver.wait_used(0, count).len()).expect("few pages");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, queue, device, network);
criterion_main!(benches);
