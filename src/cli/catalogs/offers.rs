//! What all catalogs together offer, and which of it a name means.

use super::super::error::CommandError;
use super::super::recipes;
use super::error::CatalogError;
use super::folders::Folders;
use super::held;
use super::index::Offer;
use super::subscriptions::{Subscription, Subscriptions};

/// An image of a catalog.
#[derive(Debug, Clone)]
pub struct Offered {
    /// The catalog.
    pub subscription: Subscription,
    /// The image.
    pub offer: Offer,
}

/// All that the catalogs offered when they were fetched last.
pub fn offered(folders: &Folders, subscriptions: &Subscriptions) -> Result<Vec<Offered>, CatalogError> {
    let mut all = Vec::new();
    for subscription in subscriptions.all() {
        let Some((index, _)) = held::read(folders, subscription)? else {
            continue;
        };
        all.extend(index.offers.into_iter().map(|offer| Offered {
            subscription: subscription.clone(),
            offer,
        }));
    }
    Ok(all)
}

/// The image that a name means: `NAME`, or `CATALOG/NAME`.
pub fn find(all: Vec<Offered>, name: &str) -> Result<Offered, CommandError> {
    let has = |one: &Offered| {
        let catalog = name.strip_prefix(&one.subscription.name);
        one.offer.name == name || catalog.and_then(|rest| rest.strip_prefix('/')) == Some(&one.offer.name)
    };
    let mut found: Vec<Offered> = all.iter().filter(|one| has(one)).cloned().collect();
    match found.len() {
        0 => Err(CommandError::NotFound {
            noun: "catalog image",
            name: name.into(),
            alike: alike(&all, name),
            advice: advice(&all, name),
        }),
        1 => Ok(found.swap_remove(0)),
        _ => Err(CommandError::Ambiguous {
            noun: "catalog image",
            name: name.into(),
            matches: found
                .iter()
                .map(|one| format!("{}/{}", one.subscription.name, one.offer.name))
                .collect(),
        }),
    }
}

fn advice(all: &[Offered], name: &str) -> String {
    if recipes::recipe(name).is_ok() {
        format!("it is no catalog's, but there is a recipe: kiln images make {name}")
    } else if all.is_empty() {
        "kiln catalog add NAME URL subscribes to a catalog; kiln images make lists the recipes".into()
    } else {
        "kiln catalog images lists what there is; kiln catalog refresh may bring more".into()
    }
}

/// Names that were perhaps meant, the likeliest first. None if there is a recipe of just this name.
fn alike(all: &[Offered], name: &str) -> Vec<String> {
    if recipes::recipe(name).is_ok() {
        return Vec::new();
    }
    let bare = name.rsplit('/').next().unwrap_or(name);
    let mut close: Vec<(usize, String)> = all
        .iter()
        .map(|one| {
            (
                strsim::damerau_levenshtein(bare, &one.offer.name),
                one.offer.name.clone(),
            )
        })
        .filter(|(distance, _)| *distance <= 1 + bare.chars().count() / 4)
        .collect();
    close.sort();
    close.dedup();
    close.into_iter().take(3).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::super::index::Index;
    use super::super::subscriptions::Source;
    use super::*;

    fn all() -> Vec<Offered> {
        let text = include_bytes!("../../../tests/data/catalog/index.json");
        let offers = Index::parse(text, true).unwrap().offers;
        let of = |name: &str, offer: &Offer| Offered {
            subscription: Subscription {
                name: name.into(),
                source: Source::Local("/srv/index.json".into()),
                key: None,
            },
            offer: offer.clone(),
        };
        vec![of("lab", &offers[0]), of("lab", &offers[1]), of("home", &offers[1])]
    }

    #[test]
    fn a_name_or_a_catalog_and_a_name_find_an_image() {
        assert_eq!(find(all(), "small").unwrap().offer.name, "small");
        assert_eq!(find(all(), "home/sold").unwrap().subscription.name, "home");
        let report = find(all(), "sold").unwrap_err().report();
        assert!(report.contains("lab/sold, home/sold"), "{report}");
        assert!(report.contains("try: name the catalog too"), "{report}");
    }

    #[test]
    fn what_no_catalog_has_is_not_found() {
        for (name, word) in [
            ("smal", "did you mean small?"),
            ("lab/smal", "did you mean small?"),
            ("home/small", "did you mean small?"),
            ("windows", "kiln catalog images"),
        ] {
            let error = find(all(), name).unwrap_err();
            assert_eq!(error.exit(), super::super::super::Exit::NotFound);
            assert!(error.report().contains(word), "{}", error.report());
        }
        let report = find(Vec::new(), "windows").unwrap_err().report();
        assert!(report.contains("kiln catalog add"), "{report}");
    }
}
