//! The recipes of Quick Start images: programs that make a disk from a distribution's packages. `make install` puts them
//! beside the command; `KILN_CATALOG` names another folder.

use super::error::CommandError;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Its name, which is the image's.
    pub name: String,
    /// What it makes, in a few words.
    pub about: String,
    /// The program; its argument is the file that it writes the raw disk to.
    pub program: PathBuf,
}

/// By its second line a program says that it is a recipe, and of what: `# The Quick Start image "NAME": ABOUT`.
const MARK: &str = "# The Quick Start image \"";

/// All recipes, in the order of their names.
pub fn recipes() -> Vec<Recipe> {
    folder().map(|folder| recipes_in(&folder)).unwrap_or_default()
}

/// The recipe of this name.
pub fn recipe(name: &str) -> Result<Recipe, CommandError> {
    let all = recipes();
    all.iter()
        .find(|one| one.name == name)
        .cloned()
        .ok_or_else(|| CommandError::NotFound {
            noun: "recipe",
            name: name.into(),
            alike: all
                .iter()
                .map(|one| one.name.clone())
                .filter(|one| strsim::damerau_levenshtein(one, name) <= 2)
                .collect(),
            advice: "kiln images make lists the recipes; KILN_CATALOG names the folder they lie in".into(),
        })
}

/// `KILN_CATALOG`, else where `make install` puts them.
fn folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("KILN_CATALOG").filter(|folder| !folder.is_empty()) {
        return Some(folder.into());
    }
    Some(
        std::env::current_exe()
            .ok()?
            .parent()?
            .parent()?
            .join("share/kiln/catalog"),
    )
}

fn recipes_in(folder: &Path) -> Vec<Recipe> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut recipes: Vec<Recipe> = entries.filter_map(|entry| read(&entry.path())).collect();
    recipes.sort_by(|a, b| a.name.cmp(&b.name));
    recipes
}

fn read(program: &Path) -> Option<Recipe> {
    let about = std::fs::metadata(program).ok()?;
    if !about.is_file() || about.permissions().mode() & 0o111 == 0 {
        return None;
    }
    let text = std::fs::read_to_string(program).ok()?;
    let (name, about) = text.lines().nth(1)?.strip_prefix(MARK)?.split_once('"')?;
    let about = about.trim_start_matches(':').trim();
    Some(Recipe {
        name: name.into(),
        about: about.into(),
        program: program.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_a_program_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str, mode: u32| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        put(
            "b-2",
            "#!/bin/sh\n# The Quick Start image \"b-2\": B 2 for amd64.\n",
            0o755,
        );
        put("a-1", "#!/bin/sh\n# The Quick Start image \"a-1\": A 1.\n", 0o755);
        put("helper", "#!/bin/sh\n# Prints mirrors.\n", 0o755);
        put("notes", "\n# The Quick Start image \"notes\": no program.\n", 0o644);
        let names: Vec<_> = recipes_in(folder.path())
            .into_iter()
            .map(|one| (one.name, one.about))
            .collect();
        assert_eq!(
            names,
            [
                ("a-1".into(), "A 1.".into()),
                ("b-2".to_string(), "B 2 for amd64.".to_string())
            ]
        );
    }

    #[test]
    fn every_recipe_of_the_tree_is_found() {
        let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/catalog");
        for recipe in recipes_in(&catalog) {
            assert_eq!(recipe.program.file_name().unwrap(), recipe.name.as_str());
        }
    }
}
