//! The daemon's side of the control socket (`kiln_vmm::protocol`).
//!
//! A monitor has met a guest: what it says is bounded, parsed into types, and never more than believed.

use kiln_vmm::protocol::{Answer, DeviceSpec, Event, Failure, MAX_FILES, MAX_MESSAGE, MachineSpec, Request, Response};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long a monitor may take to answer what needs no work.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// How long it may take to read the root volume, unpack a kernel and enter it.
const LAUNCH_LIMIT: Duration = Duration::from_secs(180);
/// How long it may take to complete what its devices are in the middle of.
const REST_LIMIT: Duration = Duration::from_secs(60);
/// The longest message of a monitor that is passed on to people and logs, in bytes.
const MAX_TEXT: usize = 4096;

/// Why a request to a monitor failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens at the socket, or the connection broke.
    #[error("The monitor can't be talked to")]
    Io(#[from] io::Error),
    /// It took too long.
    #[error("The monitor did not answer within {} seconds", limit.as_secs())]
    Silent {
        /// How long it was waited for.
        limit: Duration,
    },
    /// It said something that is not of the protocol.
    #[error("The monitor's answer is not one of the protocol")]
    Garbled(#[source] serde_json::Error),
    /// It said too much.
    #[error("The monitor's answer is longer than {MAX_MESSAGE} bytes")]
    TooLong,
    /// It hung up.
    #[error("The monitor hung up")]
    HungUp,
    /// It answered another question.
    #[error("The monitor answered another request")]
    Unexpected,
    /// What it is to be told does not fit into a message.
    #[error("The machine's description does not fit into a message")]
    Unsendable,
    /// It refused.
    #[error(transparent)]
    Refused(Failure),
}

/// A connection to a monitor.
#[derive(Debug)]
pub struct Control {
    stream: BufReader<UnixStream>,
}

impl Control {
    /// Connects to the monitor that listens at `socket`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn connect(socket: &Path) -> Result<Self, ControlError> {
        let connected = timeout(ANSWER_LIMIT, UnixStream::connect(socket)).await;
        let stream = connected.map_err(|_| ControlError::Silent { limit: ANSWER_LIMIT })??;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Asks something that carries no files and waits for the answer.
    ///
    /// # Errors
    /// See [`ControlError`]; after one the connection is of no more use.
    pub async fn request(&mut self, request: &Request) -> Result<Answer, ControlError> {
        self.exchange(request, &[], ANSWER_LIMIT).await
    }

    /// Has the monitor build its machine; the files go along.
    ///
    /// # Errors
    /// See [`ControlError`]; a refusal says why the machine can't be.
    pub async fn launch(&mut self, spec: MachineSpec, files: &[OwnedFd]) -> Result<Answer, ControlError> {
        self.exchange(&Request::Launch(Box::new(spec)), files, LAUNCH_LIMIT)
            .await
    }

    /// Has the monitor put a device into its running machine; the files go along.
    ///
    /// # Errors
    /// See [`ControlError`]; a refusal says why it can't be.
    pub async fn attach(&mut self, device: DeviceSpec, files: &[OwnedFd]) -> Result<Answer, ControlError> {
        let device = Box::new(device);
        self.exchange(&Request::Attach { device }, files, ANSWER_LIMIT).await
    }

    /// Has block devices rest for as long as what is returned lives: from now on, or from the next reset on, which is waited
    /// for without end.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn rest(mut self, ids: Vec<String>, after_reset: bool) -> Result<Resting, ControlError> {
        let limit = if after_reset { Duration::MAX } else { REST_LIMIT };
        self.exchange(&Request::Quiesce { ids, after_reset }, &[], limit)
            .await?;
        Ok(Resting { stream: self.stream })
    }

    /// Turns the connection into the stream of the machine's events.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn subscribe(mut self) -> Result<Events, ControlError> {
        self.request(&Request::Subscribe).await?;
        Ok(Events { stream: self.stream })
    }

    /// Turns the connection into the serial console, both ways.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn console(mut self) -> Result<BufReader<UnixStream>, ControlError> {
        self.request(&Request::Console).await?;
        Ok(self.stream)
    }

    /// Turns the connection into one to a port of the guest's vsock device, both ways.
    ///
    /// # Errors
    /// See [`ControlError`]; a refusal says why the guest did not take it.
    pub async fn vsock(mut self, port: u32) -> Result<BufReader<UnixStream>, ControlError> {
        self.request(&Request::Vsock { port }).await?;
        Ok(self.stream)
    }

    async fn exchange(&mut self, ask: &Request, files: &[OwnedFd], limit: Duration) -> Result<Answer, ControlError> {
        let answer = timeout(limit, async {
            self.send(ask, files).await?;
            read_line(&mut self.stream).await
        });
        match answer.await.map_err(|_| ControlError::Silent { limit })?? {
            Response::Ok(answer) => Ok(answer),
            Response::Error(mut failure) => {
                failure.message = presentable(&failure.message, MAX_TEXT);
                Err(ControlError::Refused(failure))
            }
        }
    }

    async fn send(&mut self, message: &impl Serialize, files: &[OwnedFd]) -> Result<(), ControlError> {
        let mut line = serde_json::to_vec(message).map_err(|_| ControlError::Unsendable)?;
        line.push(b'\n');
        if line.len() > MAX_MESSAGE || files.len() > MAX_FILES {
            return Err(ControlError::Unsendable);
        }
        let socket = self.stream.get_mut();
        let sent = match files {
            [] => 0,
            files => {
                socket
                    .async_io(Interest::WRITABLE, || send_with_files(socket.as_fd(), &line, files))
                    .await?
            }
        };
        socket.write_all(line.get(sent..).unwrap_or_default()).await?;
        Ok(())
    }
}

/// Sends the first bytes of a message together with open files; returns how many bytes went.
fn send_with_files(socket: BorrowedFd<'_>, line: &[u8], files: &[OwnedFd]) -> io::Result<usize> {
    let borrowed: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(sendmsg(
        socket,
        &[IoSlice::new(line)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?)
}

/// Block devices that rest. They go on when it is dropped, or when the monitor ends.
#[derive(Debug)]
pub struct Resting {
    stream: BufReader<UnixStream>,
}

impl Resting {
    /// Whether they have rested until now.
    pub fn lasts(&self) -> bool {
        let nothing = self.stream.get_ref().try_read(&mut [0; 1]);
        matches!(nothing, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// What happens to a machine, as it happens.
#[derive(Debug)]
pub struct Events {
    stream: BufReader<UnixStream>,
}

impl Events {
    /// The next event. Dropping the future loses nothing that was read before it was complete only if it is not called
    /// again; so the caller keeps it until it is done.
    ///
    /// # Errors
    /// The connection is over, or the monitor talks nonsense.
    pub async fn next(&mut self) -> Result<Event, ControlError> {
        read_line(&mut self.stream).await
    }
}

async fn read_line<T: DeserializeOwned>(stream: &mut BufReader<UnixStream>) -> Result<T, ControlError> {
    let mut line = Vec::new();
    let limit = u64::try_from(MAX_MESSAGE).unwrap_or(u64::MAX);
    stream.take(limit).read_until(b'\n', &mut line).await?;
    match line.last() {
        Some(b'\n') => serde_json::from_slice(&line).map_err(ControlError::Garbled),
        _ if line.len() >= MAX_MESSAGE => Err(ControlError::TooLong),
        _ => Err(ControlError::HungUp),
    }
}

/// A monitor's text, made fit for people and logs: at most `max` bytes, with no control characters but line breaks.
pub fn presentable(text: &str, max: usize) -> String {
    let mut fit = String::with_capacity(text.len().min(max));
    for character in text.chars() {
        let shown = match character {
            '\n' | '\t' => character,
            control if control.is_control() => '\u{fffd}',
            other => other,
        };
        if fit.len() + shown.len_utf8() > max {
            break;
        }
        fit.push(shown);
    }
    fit
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_vmm::protocol::FailureKind;
    use proptest::prelude::*;
    use std::os::fd::AsRawFd;
    use tokio::net::UnixListener;

    /// A monitor that reads one line and says `answer`.
    async fn with_monitor(answer: Vec<u8>, request: &Request) -> Result<Answer, ControlError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let monitor = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            stream.read_until(b'\n', &mut Vec::new()).await.unwrap();
            // It may hang up before all is said.
            let _ = stream.write_all(&answer).await;
        });
        let result = Control::connect(&path).await.unwrap().request(request).await;
        monitor.await.unwrap();
        result
    }

    #[tokio::test]
    async fn a_refusal_is_an_error_with_the_monitors_words() {
        let failure = Failure {
            kind: FailureKind::NotBootable,
            message: "No \u{1b}[31mkernel".into(),
        };
        let mut line = serde_json::to_vec(&Response::Error(failure)).unwrap();
        line.push(b'\n');
        match with_monitor(line, &Request::Hello).await {
            Err(ControlError::Refused(failure)) => assert_eq!(failure.message, "No \u{fffd}[31mkernel"),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn garbage_silence_and_floods_are_errors() {
        assert!(matches!(
            with_monitor(b"{}\n".to_vec(), &Request::Hello).await,
            Err(ControlError::Garbled(_))
        ));
        assert!(matches!(
            with_monitor(Vec::new(), &Request::Hello).await,
            Err(ControlError::HungUp)
        ));
        assert!(matches!(
            with_monitor(vec![b' '; MAX_MESSAGE * 2], &Request::Hello).await,
            Err(ControlError::TooLong)
        ));
    }

    #[tokio::test]
    async fn files_go_along_with_the_launch() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut control = Control {
            stream: BufReader::new(ours),
        };
        let files = [OwnedFd::from(std::fs::File::open("/dev/null").unwrap())];
        control.send(&Request::Hello, &files).await.unwrap();
        theirs.readable().await.unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = rustix::net::RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 64];
        let mut iov = [io::IoSliceMut::new(&mut bytes)];
        let flags = rustix::net::RecvFlags::CMSG_CLOEXEC;
        let received = rustix::net::recvmsg(&theirs, &mut iov, &mut ancillary, flags).unwrap();
        let came: usize = ancillary
            .drain()
            .map(|message| match message {
                rustix::net::RecvAncillaryMessage::ScmRights(files) => {
                    files.filter(|file| file.as_raw_fd() > 2).count()
                }
                _ => 0,
            })
            .sum();
        assert_eq!((came, &bytes[..received.bytes]), (1, &b"\"hello\"\n"[..]));
    }

    proptest! {
        #[test]
        fn a_monitors_text_is_bounded_and_has_no_control_characters(text: String, max in 0_usize..64) {
            let shown = presentable(&text, max);
            prop_assert!(shown.len() <= max);
            prop_assert!(shown.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
        }
    }
}
