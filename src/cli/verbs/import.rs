//! `kiln import`: a disk image becomes an AMI (ImportImage and its task).

use super::super::Context;
use super::super::catalogs::{CATALOG_TAG, DIGEST_TAG, Offered};
use super::super::error::CommandError;
use super::super::output::hint;
use super::super::recipes::Recipe;
use super::super::tasks;
use super::text;
use serde_json::{Value, json};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Make an image of a disk: raw, qcow2, vmdk or vhd, or an OVA with one.
///
/// The command opens the files, so it imports what you may read and nothing else. Prints the image's identifier.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln import disk.qcow2 --name my-image
  kiln import appliance.ova
  kiln import root.raw --name tiny --kernel vmlinux --command-line 'console=ttyS0 root=/dev/vda'")]
pub struct Arguments {
    /// The disk.
    file: PathBuf,
    /// The image's name; the file's without its ending when not given.
    #[arg(long)]
    name: Option<String>,
    /// What it is, for people.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The disk's format (raw, qcow2, vmdk, vhd, ova); told by the disk itself when not given.
    #[arg(long)]
    format: Option<String>,
    /// A kernel that instances boot instead of what is on the disk: a bzImage, or an ELF file.
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The kernel's command line, whole.
    #[arg(long, value_name = "TEXT", requires = "kernel")]
    command_line: Option<String>,
    /// The initial RAM disk that goes with the kernel.
    #[arg(long, value_name = "FILE", requires = "kernel")]
    ramdisk: Option<PathBuf>,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    carry_out(context, Import::of(&arguments)?).await
}

/// A disk that is to become an image, with its files already open.
pub(super) struct Import {
    /// For talk: where the disk came from.
    label: String,
    request: Value,
    files: Vec<OwnedFd>,
}

const KIND: tasks::Kind = tasks::Kind {
    noun: "import",
    doing: "importing",
    describe: "DescribeImportImageTasks",
    ids: "ImportTaskIds",
    list: "ImportImageTasks",
    id: "ImportTaskId",
};

impl Import {
    /// What the command line asks for.
    fn of(arguments: &Arguments) -> Result<Import, CommandError> {
        let disk = open(&arguments.file)?;
        let name = arguments.name.clone().unwrap_or_else(|| stem(&arguments.file));
        let about = arguments.description.as_deref();
        let label = arguments.file.display().to_string();
        let mut import = Import::new(label, &name, about, arguments.format.as_deref(), disk);
        if let Some(kernel) = &arguments.kernel {
            let command_line = arguments.command_line.as_deref().unwrap_or_default();
            import.add(
                json!({ "Format": "kernel", "CommandLine": command_line }),
                open(kernel)?,
            );
        }
        if let Some(ramdisk) = &arguments.ramdisk {
            import.add(json!({ "Format": "ramdisk" }), open(ramdisk)?);
        }
        Ok(import)
    }

    /// The disk that a recipe made.
    pub(super) fn quick_start(recipe: &Recipe, disk: File) -> Import {
        let mut import = Import::new(
            recipe.name.clone(),
            &recipe.name,
            Some(&recipe.about),
            Some("raw"),
            disk,
        );
        import.request["ImageOwnerAlias"] = json!("amazon");
        import
    }

    /// The disk of a catalog's image, as it was fetched and verified.
    pub(super) fn pulled(wanted: &Offered, disk: File) -> Import {
        let Offered { subscription, offer } = wanted;
        let about = offer.description.as_deref();
        let format = offer.format.to_string();
        let mut import = Import::new(offer.name.clone(), &offer.name, about, Some(&format), disk);
        let request = &mut import.request;
        request["Architecture"] = json!(offer.architecture.name());
        match offer.owner.alias() {
            Some(alias) => request["ImageOwnerAlias"] = json!(alias),
            None => request["OwnerId"] = json!(offer.owner.to_string()),
        }
        if !offer.product_codes.is_empty() {
            let codes = offer.product_codes.iter();
            request["ProductCodes"] = codes
                .map(|code| json!({ "ProductCodeId": code.id, "ProductCodeType": code.kind.name() }))
                .collect();
        }
        request["TagSpecifications"][0]["Tags"] = json!([
            { "Key": "Name", "Value": offer.name },
            { "Key": CATALOG_TAG, "Value": subscription.name },
            { "Key": DIGEST_TAG, "Value": offer.digest.to_string() },
        ]);
        import
    }

    fn new(label: String, name: &str, description: Option<&str>, format: Option<&str>, disk: File) -> Import {
        let mut request = json!({
            "DiskContainers": [],
            "TagSpecifications": [{ "ResourceType": "image", "Tags": [{ "Key": "Name", "Value": name }] }],
        });
        if let Some(description) = description {
            request["Description"] = json!(description);
        }
        let mut import = Import {
            label,
            request,
            files: Vec::new(),
        };
        import.add(
            format.map_or_else(|| json!({}), |format| json!({ "Format": format })),
            disk,
        );
        import
    }

    /// Adds an open file; the request names it by its place.
    fn add(&mut self, mut container: Value, file: File) {
        container["Url"] = json!(format!("fd:{}", self.files.len()));
        if let Some(containers) = self.request["DiskContainers"].as_array_mut() {
            containers.push(container);
        }
        self.files.push(file.into());
    }
}

/// Begins the import, follows its task and prints the image's identifier.
pub(super) async fn carry_out(context: &Context, import: Import) -> Result<(), CommandError> {
    let Import { label, request, files } = import;
    let task = context.client.call_with_files("ImportImage", &request, files).await?;
    let task = tasks::follow(context, &KIND, task, &label).await?;
    if context.out.json {
        return context.out.answer(&task);
    }
    let image = text(&task, "ImageId");
    hint(&format!("next: kiln run {image}"));
    context.out.line(image)
}

fn open(path: &Path) -> Result<File, CommandError> {
    let failed = |source| CommandError::File {
        path: path.into(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(std::io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

/// A file's name without its ending: `debian.qcow2` is `debian`.
fn stem(path: &Path) -> String {
    path.file_stem()
        .map_or_else(|| "imported".into(), |stem| stem.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn each_file_is_named_by_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = Arguments {
            file: file(folder.path(), "tiny.img", b"x"),
            name: None,
            description: None,
            format: None,
            kernel: Some(file(folder.path(), "vmlinux", b"\x7fELF")),
            command_line: Some("console=ttyS0".into()),
            ramdisk: Some(file(folder.path(), "initrd", b"x")),
        };
        let import = Import::of(&arguments).unwrap();
        assert_eq!(import.files.len(), 3);
        assert_eq!(
            import.request["DiskContainers"],
            json!([
                {"Url": "fd:0"},
                {"Format": "kernel", "Url": "fd:1", "CommandLine": "console=ttyS0"},
                {"Format": "ramdisk", "Url": "fd:2"},
            ])
        );
        assert_eq!(import.request["TagSpecifications"][0]["Tags"][0]["Value"], "tiny");
    }

    #[test]
    fn a_folder_is_no_disk() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(open(folder.path()), Err(CommandError::File { .. })));
    }
}
