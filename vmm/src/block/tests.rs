//! Both engines do the same to a file.

use super::*;
use crate::virtio::queue::Buffer;
use std::io::{Read, Seek, SeekFrom, Write};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

fn memory() -> Arc<GuestMemoryMmap> {
    Arc::new(GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10000), (GuestAddress(0x10000), 0x10000)]).unwrap())
}

fn buffer(address: u64, length: u32) -> Buffer {
    let address = GuestAddress(address);
    Buffer { address, length }
}

fn file() -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&(0..=255).cycle().take(0x20000).collect::<Vec<u8>>())
        .unwrap();
    Arc::new(file)
}

fn content(file: &File) -> Vec<u8> {
    let mut file = file.try_clone().unwrap();
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn engines(file: &Arc<File>) -> Vec<Box<dyn Engine>> {
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(SyncEngine::new(file.clone()))];
    match UringEngine::new(file.clone(), 8) {
        Ok(engine) => engines.push(Box::new(engine)),
        Err(error) => eprintln!("io_uring is refused here, so only the other engine is tested: {error}"),
    }
    engines
}

fn run(engine: &mut dyn Engine, offset: u64, kind: Kind) -> Completed {
    let tag = 7;
    engine.submit(Operation { tag, offset, kind });
    engine.begin();
    engine.wait();
    let completed = engine.completed().unwrap();
    assert_eq!(completed.operation.tag, tag);
    completed
}

#[test]
fn reads_and_writes_move_guest_memory_even_across_regions() {
    let file = file();
    for mut engine in engines(&file) {
        let memory = memory();
        let pieces = vec![buffer(0xfff0, 0x20), buffer(0x100, 0x10)];
        let buffers = Buffers::guest(memory.clone(), pieces.clone()).unwrap();
        assert_eq!((buffers.pieces().len(), buffers.remaining()), (3, 0x30));
        assert_eq!(run(&mut *engine, 0x40, Kind::Read(buffers)).result.unwrap(), 0x30);
        assert_eq!(memory.read_obj::<u8>(GuestAddress(0x10000)).unwrap(), 0x50);
        assert_eq!(memory.read_obj::<u8>(GuestAddress(0x100)).unwrap(), 0x60);
        for durable in [false, true] {
            memory.write_slice(&[0xaa; 0x20], GuestAddress(0xfff0)).unwrap();
            let buffers = Buffers::guest(memory.clone(), pieces.clone()).unwrap();
            let kind = Kind::Write { buffers, durable };
            assert_eq!(run(&mut *engine, 0x1000, kind).result.unwrap(), 0x30);
            assert_eq!(
                content(&file)[0x0fff..0x1021],
                {
                    let mut wanted = vec![0xaa; 0x22];
                    (wanted[0], wanted[0x21]) = (0xff, 0x60);
                    wanted
                }[..]
            );
        }
        run(&mut *engine, 0, Kind::Sync).result.unwrap();
    }
}

#[test]
fn punched_and_zeroed_ranges_read_as_zero() {
    let file = file();
    for mut engine in engines(&file) {
        run(&mut *engine, 0x2000, Kind::Punch { length: 0x1000 })
            .result
            .unwrap();
        let zeroed = run(&mut *engine, 0x4000, Kind::Zero { length: 0x1000 }).result;
        if let Err(error) = zeroed {
            assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP), "{error}");
            let buffers = Buffers::zeroes(0x1000);
            let kind = Kind::Write {
                buffers,
                durable: false,
            };
            assert_eq!(run(&mut *engine, 0x4000, kind).result.unwrap(), 0x1000);
        }
        let content = content(&file);
        assert!(
            content[0x2000..0x3000]
                .iter()
                .chain(&content[0x4000..0x5000])
                .all(|byte| *byte == 0)
        );
        assert_eq!((content.len(), content[0x1fff], content[0x5001]), (0x20000, 0xff, 1));
    }
}

#[test]
fn a_read_past_the_end_is_short() {
    let file = file();
    for mut engine in engines(&file) {
        let buffers = Buffers::guest(memory(), vec![buffer(0, 0x1000)]).unwrap();
        let mut completed = run(&mut *engine, 0x1ff00, Kind::Read(buffers));
        assert_eq!(*completed.result.as_ref().unwrap(), 0x100);
        let Kind::Read(buffers) = &mut completed.operation.kind else {
            panic!("{completed:?}");
        };
        buffers.advance(0x100);
        assert_eq!((buffers.remaining(), buffers.pieces().len()), (0xf00, 1));
        buffers.advance(usize::MAX);
        assert_eq!((buffers.remaining(), buffers.pieces().len()), (0, 0));
    }
}

#[test]
fn many_operations_are_under_way_at_once() {
    let file = file();
    for mut engine in engines(&file) {
        let memory = memory();
        for tag in 0..8 {
            let buffers = Buffers::guest(memory.clone(), vec![buffer(tag * 0x1000, 0x1000)]).unwrap();
            let (offset, kind) = (tag * 0x1000, Kind::Read(buffers));
            engine.submit(Operation { tag, offset, kind });
        }
        engine.begin();
        let mut tags = Vec::new();
        while tags.len() < 8 {
            engine.wait();
            tags.extend(engine.completed().map(|completed| completed.operation.tag));
        }
        tags.sort_unstable();
        assert_eq!(tags, (0..8).collect::<Vec<_>>());
    }
}

#[test]
fn buffers_outside_of_memory_and_in_too_many_pieces_are_refused() {
    let outside = Buffers::guest(memory(), vec![buffer(0x1ffff, 2)]);
    assert!(matches!(outside, Err(BuffersError::Outside)));
    let many = Buffers::guest(memory(), vec![buffer(0, 1); 1025]);
    assert!(matches!(many, Err(BuffersError::TooMany)));
}

#[test]
fn a_volume_has_one_writer() {
    let named = tempfile::NamedTempFile::new().unwrap();
    let open = || File::options().read(true).write(true).open(named.path()).unwrap();
    let (first, second) = (open(), open());
    lock(&first, false).unwrap();
    lock(&first.try_clone().unwrap(), false).unwrap();
    assert!(matches!(lock(&second, false), Err(LockError::InUse)));
    assert!(matches!(lock(&second, true), Err(LockError::InUse)));
    drop(first);
    lock(&second, true).unwrap();
    lock(&open(), true).unwrap();
}

#[test]
fn an_engine_that_is_gone_has_let_go_of_its_file() {
    let named = tempfile::NamedTempFile::new().unwrap();
    let open = || File::options().read(true).write(true).open(named.path()).unwrap();
    for _ in 0..8 {
        let file = Arc::new(open());
        lock(&file, false).unwrap();
        let engines = engines(&file);
        drop(file);
        assert!(matches!(lock(&open(), false), Err(LockError::InUse)));
        drop(engines);
        lock(&open(), false).unwrap();
    }
}
