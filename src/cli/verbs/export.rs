//! `kiln export`: an AMI becomes a disk image that other programs take (ExportImage and its task).

use super::super::Context;
use super::super::error::CommandError;
use super::super::output::{hint, tell};
use super::super::{api, resolve, tasks};
use super::text;
use kiln_images::formats::Format;
use serde_json::json;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Write an image to a file: raw, qcow2, vmdk or vhd.
///
/// What is written is the disk of its root volume. The file is there when it is whole, and not before. Prints its path.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln export golden golden.qcow2
  kiln export golden golden.img
  kiln export ami-0abc /srv/backup --format vmdk --force")]
pub struct Arguments {
    /// The image: its name, its identifier or the beginning of either.
    image: String,
    /// The file to make.
    file: PathBuf,
    /// The format (raw, qcow2, vmdk, vhd); told by the file's ending when not given.
    #[arg(long)]
    format: Option<Format>,
    /// What the task is for, for people.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Replace a file that is there.
    #[arg(short, long)]
    force: bool,
}

const KIND: tasks::Kind = tasks::Kind {
    noun: "export",
    doing: "exporting",
    describe: "DescribeExportImageTasks",
    ids: "ExportImageTaskIds",
    list: "ExportImageTasks",
    id: "ExportImageTaskId",
};

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let format = arguments.format.map_or_else(|| format_by_ending(&arguments.file), Ok)?;
    // From here on neither ends this program, so that no part of a file is left.
    let mut interrupts = Interrupts::new()?;
    let dest = Destination::new(&arguments.file, arguments.force)?;
    let image = resolve::image(&context.client, &arguments.image).await?;
    let mut request = json!({
        "ImageId": image.image_id,
        "DiskImageFormat": format.to_string().to_ascii_uppercase(),
        "Url": "fd:0",
    });
    if let Some(description) = arguments.description {
        request["Description"] = json!(description);
    }
    tell_what_stays(&image);
    let file = dest.open()?;
    let task = context
        .client
        .call_with_files("ExportImage", &request, vec![file.into()])
        .await?;
    let id = text(&task, KIND.id).to_owned();
    let done = tokio::select! {
        done = tasks::follow(context, &KIND, task, &arguments.image) => done?,
        () = interrupts.next() => {
            context.client.call("CancelExportTask", &json!({ "ExportTaskId": id })).await?;
            return Err(CommandError::Interrupted { image: arguments.image });
        }
    };
    let path = dest.appear()?;
    if context.out.json {
        return context.out.answer(&done);
    }
    if format == Format::Qcow2 {
        hint(&format!("next: qemu-img info {}", path.display()));
    }
    context.out.line(&path.display().to_string())
}

/// Says what of an image is not on the disk that is exported.
fn tell_what_stays(image: &api::Image) {
    let others = image.block_device_mappings.len().saturating_sub(1);
    if others > 0 {
        tell(&format!(
            "note: the root volume is exported; the image's other volumes ({others}) are not"
        ));
    }
    if let Some(kernel) = &image.kernel_id {
        tell(&format!(
            "note: instances of this image boot {kernel}, which is not on its disk and not exported"
        ));
    }
}

fn format_by_ending(path: &Path) -> Result<Format, CommandError> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "img" => Ok(Format::Raw),
        ending => ending.parse().map_err(|_| {
            let path = path.display();
            CommandError::Usage(format!(
                "The ending of {path} says no format; say --format raw, qcow2, vmdk or vhd"
            ))
        }),
    }
}

/// A file that is to be there whole or not at all: written beside its place, and gone when dropped before [`Destination::appear`].
struct Destination {
    path: PathBuf,
    part: NamedTempFile,
    replaces: bool,
}

impl Destination {
    fn new(path: &Path, replaces: bool) -> Result<Self, CommandError> {
        let failed = |source| CommandError::File {
            path: path.into(),
            source,
        };
        let exists = |why: &str| Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, why)));
        let path = match path.metadata() {
            Ok(there) if !there.is_file() => return exists("it is there already, and is no regular file"),
            Ok(_) if !replaces => return exists("it is there already; --force replaces it"),
            // What a link points to is replaced, not the link.
            Ok(_) => path.canonicalize().map_err(failed)?,
            Err(_) => path.to_owned(),
        };
        let part = tempfile::Builder::new()
            .prefix(".kiln-export-")
            // As any new file: what the user's mask leaves.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder(&path));
        let part = part.map_err(failed)?;
        Ok(Self { path, part, replaces })
    }

    /// The open file, to be sent away.
    fn open(&self) -> Result<File, CommandError> {
        self.part.as_file().try_clone().map_err(|source| self.failed(source))
    }

    /// Puts the file in its place, durably; gives its path. The daemon has synced what is in it.
    fn appear(self) -> Result<PathBuf, CommandError> {
        let Self { path, part, replaces } = self;
        let failed = |source| CommandError::File {
            path: path.clone(),
            source,
        };
        let persisted = match replaces {
            true => part.persist(&path),
            false => part.persist_noclobber(&path),
        };
        persisted.map_err(|error| failed(error.error))?;
        let folder = File::open(folder(&path)).map_err(failed)?;
        folder.sync_all().map_err(failed)?;
        Ok(path)
    }

    fn failed(&self, source: io::Error) -> CommandError {
        CommandError::File {
            path: self.path.clone(),
            source,
        }
    }
}

/// The directory of a file.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Ctrl-C, and the request to end.
struct Interrupts(Signal, Signal);

impl Interrupts {
    fn new() -> Result<Self, CommandError> {
        let listen = |kind| signal(kind).map_err(CommandError::Signals);
        Ok(Self(listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?))
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_a_file_says_its_format() {
        for (name, format) in [
            ("a.raw", Format::Raw),
            ("a.img", Format::Raw),
            ("dir/a.QCOW2", Format::Qcow2),
            ("a.b.vmdk", Format::Vmdk),
            ("a.vhd", Format::Vhd),
        ] {
            assert_eq!(format_by_ending(Path::new(name)).unwrap(), format, "{name}");
        }
        for name in ["a", "qcow2", ".raw", "a.iso"] {
            assert!(
                matches!(format_by_ending(Path::new(name)), Err(CommandError::Usage(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let (path, entries) = (dir.path().join("a.raw"), || {
            std::fs::read_dir(dir.path()).unwrap().count()
        });
        drop(Destination::new(&path, false).unwrap());
        assert_eq!(entries(), 0, "something is left of an export that ended early");
        let dest = Destination::new(&path, false).unwrap();
        std::io::Write::write_all(&mut dest.open().unwrap(), b"first").unwrap();
        assert!(!path.exists());
        assert_eq!(dest.appear().unwrap(), path);
        assert_eq!((std::fs::read(&path).unwrap(), entries()), (b"first".to_vec(), 1));

        let there = Destination::new(&path, false);
        let says = |error: CommandError| std::error::Error::source(&error).unwrap().to_string();
        assert!(says(there.err().unwrap()).contains("--force"));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("a.raw", &link).unwrap();
        let dest = Destination::new(&link, true).unwrap();
        std::io::Write::write_all(&mut dest.open().unwrap(), b"second").unwrap();
        dest.appear().unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert!(Destination::new(dir.path(), true).is_err(), "a folder is replaced");
    }

    #[test]
    fn a_file_that_came_meanwhile_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.raw");
        let dest = Destination::new(&path, false).unwrap();
        std::fs::write(&path, "another's").unwrap();
        assert!(dest.appear().is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"another's");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
