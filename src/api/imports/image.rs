//! ImportImage.

use super::super::files::for_reading;
use super::super::images::parse_name;
use super::super::tagging::{TagSpecification, TagSpecifications};
use super::super::token::ClientToken;
use super::super::{ApiError, Call, Code};
use super::disk;
use super::tasks::{ImageTask, describe_image_task};
use crate::imports::{DiskSource, ImageOrder, KernelSource, Makes, Order};
use crate::model::{AccountId, Architecture, ImageOwner, ProductCode};
use serde::Deserialize;
use std::fs::File;

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct ImportImage {
    architecture: Option<String>,
    client_token: Option<String>,
    description: Option<String>,
    disk_containers: Vec<Container>,
    /// kiln's own: `amazon` for Quick Start images, `aws-marketplace` for those of the Marketplace.
    image_owner_alias: Option<String>,
    /// kiln's own: the account that a Community image is of.
    owner_id: Option<String>,
    platform: Option<String>,
    /// kiln's own: what an image of the Marketplace is sold as.
    product_codes: Vec<WireProductCode>,
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Container {
    /// kiln's own: of a kernel.
    command_line: Option<String>,
    #[serde(rename = "Description")]
    _description: Option<String>,
    format: Option<String>,
    url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WireProductCode {
    product_code_id: String,
    product_code_type: Option<String>,
}

/// The longest command line, in bytes: what x86 kernels take (`COMMAND_LINE_SIZE`), without the final zero.
const MAX_COMMAND_LINE: usize = 2047;

/// The containers of a request, each in its place.
struct Contents {
    disk: DiskSource,
    kernel: Option<KernelSource>,
    ramdisk: Option<File>,
}

impl Contents {
    fn new(call: &mut Call, containers: Vec<Container>) -> Result<Self, ApiError> {
        let (mut disks, mut kernel, mut ramdisk) = (Vec::new(), None, None);
        for (index, container) in containers.into_iter().enumerate() {
            let member = format!("DiskContainers[{index}]");
            let format = container.format.as_deref().map(str::to_ascii_lowercase);
            let kind = format
                .as_deref()
                .filter(|format| matches!(*format, "kernel" | "ramdisk"));
            if container.command_line.is_some() && kind != Some("kernel") {
                let message = format!("{member}.CommandLine goes with a kernel only");
                return Err(ApiError::new(Code::InvalidParameterCombination, message));
            }
            let url = container.url.as_deref();
            let twice = match kind {
                Some("kernel") => {
                    let file = for_reading(&mut call.files, &member, url)?;
                    let command_line = parse_command_line(container.command_line.unwrap_or_default())?;
                    kernel.replace(KernelSource { file, command_line }).is_some()
                }
                Some(_) => ramdisk.replace(for_reading(&mut call.files, &member, url)?).is_some(),
                None => {
                    disks.push(disk(&mut call.files, &member, format.as_deref(), url)?);
                    disks.len() > 1
                }
            };
            if twice {
                let message = "DiskContainers: One disk, one kernel and one RAM disk are served, not several";
                return Err(ApiError::new(Code::UnsupportedOperation, message));
            }
        }
        if ramdisk.is_some() && kernel.is_none() {
            let message = "DiskContainers: A RAM disk needs the kernel that it goes with";
            return Err(ApiError::new(Code::InvalidParameterCombination, message));
        }
        let Some(disk) = disks.pop() else {
            let message = "The request must contain the parameter DiskContainers, with a disk";
            return Err(ApiError::new(Code::MissingParameter, message));
        };
        Ok(Self { disk, kernel, ramdisk })
    }
}

fn parse_command_line(text: String) -> Result<String, ApiError> {
    if text.len() > MAX_COMMAND_LINE || text.chars().any(char::is_control) {
        let message = format!(
            "CommandLine: A kernel's command line has at most {MAX_COMMAND_LINE} bytes and no control characters"
        );
        return Err(ApiError::new(Code::InvalidParameterValue, message));
    }
    Ok(text)
}

/// Whose the image is to be: the alias, or another account than this one.
fn parse_owner(alias: Option<&str>, account: Option<&str>, own: &str) -> Result<ImageOwner, ApiError> {
    let invalid = |message: String| Err(ApiError::new(Code::InvalidParameterValue, message));
    match (alias, account) {
        (None, None) => Ok(ImageOwner::Account),
        (Some(_), Some(_)) => {
            let message = "An image has an ImageOwnerAlias or an OwnerId, not both";
            Err(ApiError::new(Code::InvalidParameterCombination, message))
        }
        (Some(alias), None) => ImageOwner::from_alias(alias).map_or_else(
            || invalid("ImageOwnerAlias must be amazon, for a Quick Start image, aws-marketplace, or absent".into()),
            Ok,
        ),
        // What comes from elsewhere must not stand among those that --owners self finds.
        (None, Some(account)) if account == own => invalid(format!(
            "OwnerId: {account} is this host's own account; an image without an OwnerId is its own"
        )),
        (None, Some(account)) => match account.parse::<AccountId>() {
            Ok(account) => Ok(ImageOwner::Other(account)),
            Err(error) => invalid(format!("OwnerId: {error}, not {}", account.escape_debug())),
        },
    }
}

/// The codes, which only images of the Marketplace have.
fn parse_product_codes(codes: Vec<WireProductCode>, owner: ImageOwner) -> Result<Vec<ProductCode>, ApiError> {
    if !codes.is_empty() && owner != ImageOwner::Marketplace {
        let message = "ProductCodes go with the ImageOwnerAlias aws-marketplace only";
        return Err(ApiError::new(Code::InvalidParameterCombination, message));
    }
    let invalid = |message: String| ApiError::new(Code::InvalidParameterValue, message);
    if codes.len() > ProductCode::MAX_COUNT {
        return Err(invalid(format!(
            "ProductCodes: An image has at most {}",
            ProductCode::MAX_COUNT
        )));
    }
    let mut parsed: Vec<ProductCode> = Vec::with_capacity(codes.len());
    for code in codes {
        if code.product_code_type.is_some_and(|kind| kind != "marketplace") {
            return Err(invalid(
                "ProductCodes: Only those of the type marketplace are served".into(),
            ));
        }
        let id = code.product_code_id;
        let code = ProductCode::marketplace(&id)
            .ok_or_else(|| invalid(format!("ProductCodes: {} is no product code", id.escape_debug())))?;
        if !parsed.contains(&code) {
            parsed.push(code);
        }
    }
    Ok(parsed)
}

impl ImportImage {
    fn order(self, call: &mut Call) -> Result<Order, ApiError> {
        if let Some(platform) = self.platform.filter(|platform| !platform.eq_ignore_ascii_case("linux")) {
            let message = format!("Platform must be Linux, not {}", platform.escape_debug());
            return Err(ApiError::new(Code::UnsupportedOperation, message));
        }
        let architecture = self.architecture.unwrap_or_else(|| Architecture::X86_64.name().into());
        let architecture = Architecture::from_name(&architecture).ok_or_else(|| {
            let message = format!(
                "Architecture: Images for {} are not served",
                architecture.escape_debug()
            );
            ApiError::new(Code::UnsupportedOperation, message)
        })?;
        let tags = TagSpecifications::new(self.tag_specifications, &["import-image-task", "image", "snapshot"])?;
        // EC2 gives an imported image no way to be named; its Name tag is what people would call it.
        let name = tags.of("image").iter().find(|tag| tag.key == "Name");
        let name = name.map(|tag| parse_name(&tag.value)).transpose()?;
        let own = call.world.config.place.account();
        let owner = parse_owner(self.image_owner_alias.as_deref(), self.owner_id.as_deref(), own)?;
        let product_codes = parse_product_codes(self.product_codes, owner)?;
        let token = ClientToken::new(self.client_token, call.digest)?;
        let Contents { disk, kernel, ramdisk } = Contents::new(call, self.disk_containers)?;
        Ok(Order {
            client_token: token.map(|token| token.token),
            request_digest: call.digest.to_string(),
            description: self.description,
            disk,
            makes: Makes::Image(Box::new(ImageOrder {
                name,
                owner,
                product_codes,
                architecture,
                kernel,
                ramdisk,
                tags: tags.of("image").to_vec(),
            })),
            task_tags: tags.of("import-image-task").to_vec(),
            snapshot_tags: tags.of("snapshot").to_vec(),
        })
    }
}

/// Begins the import; the answer is its task.
pub(super) async fn import_image(mut call: Call, request: ImportImage) -> Result<ImageTask, ApiError> {
    let order = request.order(&mut call)?;
    let tags = order.task_tags.clone();
    let task = call.world.imports.begin(order, call.dry_run).await?;
    Ok(describe_image_task(&call.world.imports, task, tags))
}
