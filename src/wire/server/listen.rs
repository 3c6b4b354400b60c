//! The listening socket: the one that systemd hands over (`LISTEN_FDS`), or one of our own.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;
use tracing::{info, warn};

/// Why there is no socket to listen on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// systemd handed over something else than one listening Unix stream socket.
    #[error("The service manager handed over {0} sockets; kilnd.socket must have one ListenStream")]
    Activation(usize),
    /// The socket that was handed over can't be used.
    #[error("The socket that the service manager handed over can't be used")]
    Inherited(#[source] io::Error),
    /// Another daemon listens there.
    #[error("Another daemon listens on {0}; give this one its own --socket, --state-dir and run_dir")]
    InUse(PathBuf),
    /// Something that is no socket lies there.
    #[error("{0} is there and is not a socket; remove it or give another --socket")]
    NotASocket(PathBuf),
    /// The socket can't be made.
    #[error("The socket {path} can't be made")]
    Bind {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The socket of the service manager if there is one, else a new one at `path` that `group` may use.
///
/// # Errors
/// See [`ListenError`].
pub fn listen(path: &Path, group: &str) -> Result<UnixListener, ListenError> {
    let listener = match inherited()? {
        Some(listener) => listener,
        None => bind(path, group)?,
    };
    listener
        .set_nonblocking(true)
        .and_then(|()| UnixListener::from_std(listener))
        .map_err(ListenError::Inherited)
}

fn inherited() -> Result<Option<StdListener>, ListenError> {
    let mut sockets = sd_notify::listen_fds().map_err(ListenError::Inherited)?;
    match (sockets.len(), sockets.next()) {
        (0, _) => Ok(None),
        (1, Some(socket)) => {
            // SAFETY: the service manager opened this descriptor for us (sd_listen_fds(3) says so by our process id),
            // and this function is called once, so nobody else owns it.
            let socket = unsafe { OwnedFd::from_raw_fd(socket) };
            rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)
                .map_err(|error| ListenError::Inherited(error.into()))?;
            Ok(Some(StdListener::from(socket)))
        }
        (sockets, _) => Err(ListenError::Activation(sockets)),
    }
}

/// Binds beside the path and moves the socket there once its owner and mode are right, so that at no moment a stranger
/// could connect. The socket of a daemon that is gone is replaced.
fn bind(path: &Path, group: &str) -> Result<StdListener, ListenError> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(ListenError::NotASocket(path.into())),
        Ok(_) if StdStream::connect(path).is_ok() => return Err(ListenError::InUse(path.into())),
        _ => {}
    }
    let made = || -> io::Result<StdListener> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = StdListener::bind(&beside)?;
        give(&beside, group)?;
        std::fs::rename(&beside, path)?;
        Ok(listener)
    };
    made().map_err(|source| ListenError::Bind {
        path: path.into(),
        source,
    })
}

/// Gives the socket to its group: mode 0660, or 0600 where there is no such group.
fn give(socket: &Path, group: &str) -> io::Result<()> {
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let mode = match group_id(&groups, group) {
        Some(gid) => match chown(socket, None, Some(gid)) {
            Ok(()) => 0o660,
            Err(error) => {
                warn!(%error, group, "The socket can't be given to its group; only its owner may use it");
                0o600
            }
        },
        None => {
            info!(group, "There is no such group; only the owner may use the socket");
            0o600
        }
    };
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(mode))
}

/// The number of a group in the text of `/etc/group` (group(5)).
fn group_id(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        fields.nth(1).filter(|_| found)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let groups = "root:x:0:\nkilnx:x:8:\nkiln:x:9:me\nbroken\n";
        assert_eq!(group_id(groups, "kiln"), Some(9));
        assert_eq!(group_id(groups, "kil"), None);
        assert_eq!(group_id(groups, "broken"), None);
    }

    #[test]
    fn the_socket_of_a_dead_daemon_is_replaced_and_that_of_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kiln.sock");
        let first = bind(&path, "no-such-group").unwrap();
        assert!(matches!(bind(&path, "no-such-group"), Err(ListenError::InUse(_))));
        drop(first);
        let second = bind(&path, "no-such-group").unwrap();
        assert!(StdStream::connect(&path).is_ok());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(second);
    }

    #[test]
    fn a_file_in_the_sockets_place_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kiln.sock");
        std::fs::write(&path, "mine").unwrap();
        assert!(matches!(bind(&path, "kiln"), Err(ListenError::NotASocket(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
