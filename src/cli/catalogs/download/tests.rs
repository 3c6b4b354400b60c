use super::super::testing::{Answer, Server, answer, impatient, offer};
use super::*;
use std::time::Duration;

/// A disk's contents: no piece of it is like another.
fn contents() -> Vec<u8> {
    (0..40_000_u32).flat_map(u32::to_le_bytes).collect()
}

struct Place {
    _folder: tempfile::TempDir,
    folders: Folders,
    subscription: Subscription,
}

/// A place with a subscription to an index of this host.
fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index.json");
    Place {
        folders: Folders::under(folder.path()),
        subscription: Subscription {
            name: "lab".into(),
            source: Source::Local(index),
            key: None,
        },
        _folder: folder,
    }
}

impl Place {
    /// A fetch while no other one is at it. A program that another test of this process starts holds the lock of the one before for
    /// the moment between fork and exec.
    async fn fetch(&self, offer: &Offer) -> Result<Downloaded, CatalogError> {
        for _ in 0..500 {
            match self.fetch_with(&impatient(), offer).await {
                Err(CatalogError::Busy { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                done => return done,
            }
        }
        panic!("The lock of a download that is over stays")
    }

    async fn fetch_with(&self, http: &Http, offer: &Offer) -> Result<Downloaded, CatalogError> {
        download(http, &self.folders, &self.subscription, offer, &ProgressBar::hidden()).await
    }

    /// How many bytes are kept of a disk.
    fn kept(&self, offer: &Offer) -> Option<u64> {
        let part = self.folders.disks().join(format!("{}.part", offer.digest.digits()));
        Some(std::fs::metadata(part).ok()?.len())
    }
}

fn read(mut downloaded: Downloaded) -> Vec<u8> {
    let mut bytes = Vec::new();
    downloaded.file.read_to_end(&mut bytes).unwrap();
    downloaded.remove().unwrap();
    bytes
}

/// The number in a request's `Range: bytes=N-`.
fn from(head: &str) -> Option<usize> {
    head.split_once("range: bytes=")?.1.split_once('-')?.0.parse().ok()
}

/// Answers as a server does that has the disk and can send the rest of it.
fn serve(disk: &[u8], head: &str) -> Answer {
    match from(head) {
        Some(from) => {
            let range = format!("Content-Range: bytes {from}-{}/{}", disk.len() - 1, disk.len());
            let length = format!("Content-Length: {}", disk.len() - from);
            answer(206, &[&range, &length, "ETag: \"one\""], &disk[from..])
        }
        None => {
            let length = format!("Content-Length: {}", disk.len());
            answer(200, &[&length, "ETag: \"one\""], disk)
        }
    }
}

/// The same, but the connection ends after so many bytes of the body.
fn break_off(whole: Answer, after: usize) -> Answer {
    let Answer::Whole(mut bytes) = whole else {
        unreachable!()
    };
    let body = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    bytes.truncate(body + after);
    Answer::Whole(bytes)
}

#[tokio::test]
async fn a_download_that_broke_off_goes_on_where_it_was() {
    let (place, disk) = (place(), contents());
    let served = disk.clone();
    let server = Server::plain(move |head| match from(head) {
        None => break_off(serve(&served, head), 50_000),
        Some(50_000) => break_off(serve(&served, head), 30_000),
        Some(_) => serve(&served, head),
    });
    let offer = offer(&server.address("/disk").to_string(), &disk);
    for kept in [50_000, 80_000] {
        let error = place.fetch(&offer).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, CatalogError::Broken { .. }), "{error}");
        assert_eq!(place.kept(&offer), Some(kept));
    }
    assert_eq!(read(place.fetch(&offer).await.unwrap()), disk);
    assert_eq!(place.kept(&offer), None);
    let asked = server.asked();
    assert_eq!(
        asked.iter().map(|head| from(head)).collect::<Vec<_>>(),
        [None, Some(50_000), Some(80_000)]
    );
    assert!(asked[2].contains("if-range: \"one\""), "{}", asked[2]);
}

#[tokio::test]
async fn what_is_of_another_version_or_of_none_is_begun_anew() {
    for headers in [&["ETag: \"two\""][..], &["ETag: W/\"one\""], &[]] {
        let (place, disk) = (place(), contents());
        let (served, later) = (disk.clone(), headers.contains(&"ETag: \"two\""));
        let headers: Vec<&'static str> = headers.to_vec();
        let first = std::sync::atomic::AtomicBool::new(true);
        // The server knows of a change by If-Range; with no strong tag the client must not ask for a part at all.
        let server = Server::plain(move |_| {
            let (tag, after) = match first.swap(false, std::sync::atomic::Ordering::Relaxed) {
                true if later => (vec!["ETag: \"one\""], 50_000),
                true => (headers.clone(), 50_000),
                false => (headers.clone(), served.len()),
            };
            let length = format!("Content-Length: {}", served.len());
            let lines: Vec<&str> = tag.into_iter().chain([length.as_str()]).collect();
            break_off(answer(200, &lines, &served), after)
        });
        let offer = offer(&server.address("/disk").to_string(), &disk);
        assert!(place.fetch(&offer).await.is_err());
        assert_eq!(read(place.fetch(&offer).await.unwrap()), disk);
        assert_eq!(from(&server.asked()[1]), later.then_some(50_000));
    }
}

#[tokio::test]
async fn a_server_that_sends_another_part_or_none_is_asked_for_all() {
    for (status, range) in [
        (206, "Content-Range: bytes 0-159999/160000"),
        (416, "Content-Range: bytes */160000"),
    ] {
        let (place, disk) = (place(), contents());
        let served = disk.clone();
        let server = Server::plain(move |head| match (from(head), status) {
            (None, _) if head.contains("/half") => break_off(serve(&served, head), 50_000),
            (None, _) => serve(&served, head),
            (Some(_), status) => answer(status, &[range], &[]),
        });
        let offer = offer(&server.address("/half").to_string(), &disk);
        assert!(place.fetch(&offer).await.is_err());
        assert_eq!(place.kept(&offer), Some(50_000));
        let error = place.fetch(&offer).await.map(|_| ()).unwrap_err();
        assert_eq!(
            matches!(error, CatalogError::Status { status: 206, .. }),
            status == 206,
            "{error}"
        );
        // Nothing of the part is left to be mixed with what comes next.
        assert_eq!(place.kept(&offer), Some(if status == 206 { 0 } else { 50_000 }));
    }
}

#[tokio::test]
async fn a_disk_that_is_another_than_the_indexs_is_deleted() {
    let (place, disk) = (place(), contents());
    let mut other = disk.clone();
    other[77_777] ^= 1;
    let server = Server::plain(move |head| serve(&other, head));
    let offer = offer(&server.address("/disk").to_string(), &disk);
    let error = place.fetch(&offer).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, CatalogError::Digest { .. }), "{error}");
    assert_eq!(place.kept(&offer), None);
    assert_eq!(std::fs::read_dir(place.folders.disks()).unwrap().count(), 0);
}

#[tokio::test]
async fn no_more_is_taken_than_the_index_says() {
    for headers in [&["Content-Length: 160001"][..], &[]] {
        let (place, disk) = (place(), contents());
        let longer = [disk.clone(), vec![0]].concat();
        let headers: Vec<&'static str> = headers.to_vec();
        let server = Server::plain(move |_| answer(200, &headers, &longer));
        let offer = offer(&server.address("/disk").to_string(), &disk);
        let error = place.fetch(&offer).await.map(|_| ()).unwrap_err();
        assert!(
            matches!(
                error,
                CatalogError::WrongSize {
                    size: 160_000,
                    found: 160_001..,
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(place.kept(&offer), Some(0));
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up_and_what_came_stays() {
    let (place, disk) = (place(), contents());
    let served = disk.clone();
    let server = Server::plain(move |head| match from(head) {
        None => {
            let Answer::Whole(bytes) = break_off(serve(&served, head), 50_000) else {
                unreachable!()
            };
            Answer::Silence(bytes)
        }
        Some(_) => serve(&served, head),
    });
    let offer = offer(&server.address("/disk").to_string(), &disk);
    let error = place.fetch(&offer).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, CatalogError::Stalled { .. }), "{error}");
    assert_eq!(place.kept(&offer), Some(50_000));
    assert_eq!(read(place.fetch(&offer).await.unwrap()), disk);
}

#[tokio::test]
async fn two_do_not_fetch_one_disk() {
    let (place, disk) = (place(), contents());
    let served = disk.clone();
    let (server, http) = Server::tls(move |head| serve(&served, head));
    let offer = offer(&server.address("/disk").to_string(), &disk);
    let first = place.fetch_with(&http, &offer).await.unwrap();
    let error = place.fetch_with(&http, &offer).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, CatalogError::Busy { .. }), "{error}");
    assert_eq!(read(first), disk);
}

#[tokio::test]
async fn a_disk_beside_a_local_index_is_copied_and_none_from_elsewhere() {
    let (place, disk) = (place(), contents());
    let folder = place._folder.path();
    std::fs::create_dir(folder.join("disks")).unwrap();
    std::fs::write(folder.join("disks/a.raw"), &disk).unwrap();
    assert_eq!(read(place.fetch(&offer("disks/a.raw", &disk)).await.unwrap()), disk);

    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("a.raw"), &disk).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.join("out")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("pipe"), Mode::RUSR).unwrap();
    for name in ["out/a.raw", "pipe", "disks"] {
        let error = place.fetch(&offer(name, &disk)).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, CatalogError::Outside { .. }), "{name}: {error}");
    }
    let error = place.fetch(&offer("disks/b.raw", &disk)).await.map(|_| ()).unwrap_err();
    assert_eq!(error.exit(), super::super::super::error::Exit::NotFound);
    std::fs::write(folder.join("disks/b.raw"), &disk[1..]).unwrap();
    let error = place.fetch(&offer("disks/b.raw", &disk)).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, CatalogError::WrongSize { .. }), "{error}");
}
