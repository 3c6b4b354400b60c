//! `kiln pull`: an image of a catalog is fetched, verified and imported.

use super::super::Context;
use super::super::api::{self, Image};
use super::super::catalogs::{self, Folders, Http, Offered, Subscriptions};
use super::super::error::CommandError;
use super::super::output::tell;
use super::super::progress;
use super::import::{self, Import};

/// Fetch an image of a catalog, and make an AMI of it.
///
/// What was broken off goes on where it was. The disk is compared with the digest in the catalog's index before anything
/// is made of it. Prints the image's identifier.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln catalog images          what there is
  kiln pull fedora-42
  kiln pull lab/fedora-42      of the catalog lab, if several have the name")]
pub struct Arguments {
    /// The image: NAME, or CATALOG/NAME.
    name: String,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let folders = Folders::of_user()?;
    let all = catalogs::offered(&folders, &Subscriptions::read(&folders)?)?;
    let wanted = catalogs::find(all, &arguments.name)?;
    let offer = &wanted.offer;
    if let Some(image) = here(context, &wanted).await? {
        let id = &image.image_id;
        if image
            .tag(catalogs::DIGEST_TAG)
            .is_some_and(|had| had != offer.digest.to_string())
        {
            let name = &offer.name;
            return Err(CommandError::Usage(format!(
                "Another version of {name} is here as {id}; kiln images rm {id} makes room for this one"
            )));
        }
        tell(&format!("{} is here already", offer.name));
        return super::done(context, &serde_json::json!({ "ImageId": id }), id);
    }
    let subscription = &wanted.subscription;
    if subscription.key.is_none() {
        let (name, source) = (&subscription.name, &subscription.source);
        tell(&format!(
            "{name} is unsigned: whoever can change {source} can change what you run"
        ));
    }
    let bar = progress::bytes(&format!("fetching {}", offer.name), offer.size);
    let fetched = catalogs::download(&Http::new(), &folders, subscription, offer, &bar).await;
    bar.finish_and_clear();
    let fetched = fetched?;
    let file = fetched.file.try_clone().map_err(|source| CommandError::File {
        path: folders.disks(),
        source,
    })?;
    // The disk goes once there is an image of it, and not before: it may have taken long to come.
    import::carry_out(context, Import::pulled(&wanted, file)).await?;
    Ok(fetched.remove()?)
}

/// The owner's image of that name, if it is on this host.
async fn here(context: &Context, wanted: &Offered) -> Result<Option<Image>, CommandError> {
    let images = api::images(&context.client).await?;
    let is_it = |one: &Image| one.is_of(wanted.offer.owner) && one.name == wanted.offer.name;
    Ok(images.into_iter().find(|one| is_it(one) && one.state == "available"))
}
