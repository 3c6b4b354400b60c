//! `image-aliases.toml`: other names of images, by which scripts that were written for EC2 ask for them.
//!
//! `api::images` looks here for public SSM parameters, and for names and owners of other accounts.

use serde::Deserialize;

/// The packaged table, which is part of the program.
const PACKAGED: &str = include_str!("../../config/image-aliases.toml");
/// Below this, every image has a parameter of its own name.
const OWN: &str = "/aws/service/kiln/";

/// Other names of images.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageAliases {
    alias: Vec<ImageAlias>,
}

/// Other names of one image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageAlias {
    /// The host's own name.
    pub image: String,
    /// Public SSM parameters.
    pub parameters: Vec<String>,
    /// Names of the same image on EC2.
    pub names: Vec<String>,
    /// Accounts that own it there.
    pub owners: Vec<String>,
}

impl ImageAliases {
    /// The packaged table.
    ///
    /// # Panics
    /// It is part of the program: if it can't be read, the build is broken, and a test says so.
    #[must_use]
    pub fn packaged() -> Self {
        toml::from_str(PACKAGED).expect("the packaged table is valid")
    }

    /// The host's name of the image that a public parameter stands for.
    #[must_use]
    pub fn by_parameter<'a>(&'a self, parameter: &'a str) -> Option<&'a str> {
        let own = parameter.strip_prefix(OWN).filter(|name| !name.is_empty());
        own.or_else(|| {
            let mut aliases = self.alias.iter();
            let found = aliases.find(|alias| alias.parameters.iter().any(|own| own == parameter));
            found.map(|alias| alias.image.as_str())
        })
    }

    /// The other names of an image.
    #[must_use]
    pub fn of(&self, image: &str) -> Option<&ImageAlias> {
        self.alias.iter().find(|alias| alias.image == image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_parameter_stands_for_one_image_and_every_image_has_one() {
        let aliases = ImageAliases::packaged();
        assert_eq!(
            aliases.by_parameter("/aws/service/debian/release/12/latest/amd64"),
            Some("debian-12")
        );
        assert_eq!(aliases.by_parameter("/aws/service/kiln/web"), Some("web"));
        assert_eq!(aliases.by_parameter("/aws/service/kiln/"), None);
        assert_eq!(aliases.by_parameter("/my/own"), None);
        let parameters: Vec<&String> = aliases.alias.iter().flat_map(|alias| &alias.parameters).collect();
        assert_eq!(parameters.iter().collect::<BTreeSet<_>>().len(), parameters.len());
        assert!(
            parameters
                .iter()
                .all(|parameter| parameter.starts_with("/aws/service/"))
        );
    }
}
