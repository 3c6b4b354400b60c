//! From what people write (a name, an identifier, the beginning of either) to the one thing that is meant.

use super::api::{self, Group, Image, Instance};
use super::client::Client;
use super::error::CommandError;
use serde_json::{Value, json};

/// Something that can be named.
#[derive(Debug, Clone)]
struct Candidate<'a> {
    id: &'a str,
    name: &'a str,
    /// Whether it still counts when names are looked up; what is gone is found by its identifier only.
    live: bool,
}

/// The instances that were named, in the order of the names and each once.
pub async fn instances(client: &Client, names: &[String]) -> Result<Vec<Instance>, CommandError> {
    let all = api::instances(client).await?;
    let candidates: Vec<Candidate> = all
        .iter()
        .map(|one| Candidate {
            id: &one.instance_id,
            name: one.name(),
            live: !one.is_terminated(),
        })
        .collect();
    let mut found: Vec<Instance> = Vec::new();
    for name in names {
        let advice = "kiln ps lists the instances";
        let place = pick("instance", "i-", name, &candidates, advice)?;
        if !found.iter().any(|one| one.instance_id == all[place].instance_id) {
            found.push(all[place].clone());
        }
    }
    Ok(found)
}

/// The one instance that was named.
pub async fn instance(client: &Client, name: &str) -> Result<Instance, CommandError> {
    let mut found = instances(client, &[name.to_string()]).await?;
    Ok(found.swap_remove(0))
}

/// The one image that was named and that instances can be made of.
pub async fn image(client: &Client, name: &str) -> Result<Image, CommandError> {
    let mut all = api::images(client).await?;
    all.retain(Image::is_machine);
    pick_image(all, name)
}

/// The one image of any kind that was named: kernels and RAM disks too.
pub async fn any_image(client: &Client, name: &str) -> Result<Image, CommandError> {
    pick_image(api::images(client).await?, name)
}

fn pick_image(mut all: Vec<Image>, name: &str) -> Result<Image, CommandError> {
    let candidates: Vec<Candidate> = all
        .iter()
        .map(|one| Candidate {
            id: &one.image_id,
            name: &one.name,
            live: true,
        })
        .collect();
    let advice = if super::recipes::recipe(name).is_ok() {
        format!("it is made, once, with kiln images make {name}")
    } else {
        "kiln images lists the images; kiln import makes one of a disk image".to_string()
    };
    let place = pick("image", "ami-", name, &candidates, &advice)?;
    Ok(all.swap_remove(place))
}

/// The security groups that were named, in the order of the names and each once.
pub async fn groups(client: &Client, names: &[String]) -> Result<Vec<Group>, CommandError> {
    let all = api::groups(client).await?;
    let candidates: Vec<Candidate> = all
        .iter()
        .map(|one| Candidate {
            id: &one.group_id,
            name: &one.group_name,
            live: true,
        })
        .collect();
    let mut found: Vec<Group> = Vec::new();
    for name in names {
        let advice = "kiln groups lists the security groups";
        let place = pick("security group", "sg-", name, &candidates, advice)?;
        if !found.iter().any(|one| one.group_id == all[place].group_id) {
            found.push(all[place].clone());
        }
    }
    Ok(found)
}

/// The one security group that was named.
pub async fn group(client: &Client, name: &str) -> Result<Group, CommandError> {
    let mut found = groups(client, &[name.to_string()]).await?;
    Ok(found.swap_remove(0))
}

/// The identifier of the volume that was named.
pub async fn volume(client: &Client, name: &str) -> Result<String, CommandError> {
    let advice = "kiln volumes lists the volumes";
    tagged(
        client,
        ("DescribeVolumes", "Volumes", "VolumeId"),
        ("volume", "vol-"),
        name,
        advice,
    )
    .await
}

/// The identifier of the snapshot that was named.
pub async fn snapshot(client: &Client, name: &str) -> Result<String, CommandError> {
    let advice = "kiln snapshots lists the snapshots";
    tagged(
        client,
        ("DescribeSnapshots", "Snapshots", "SnapshotId"),
        ("snapshot", "snap-"),
        name,
        advice,
    )
    .await
}

/// The identifier of something whose name is its tag: by the operation that describes it, its list and its member there.
async fn tagged(
    client: &Client,
    (operation, list, member): (&str, &str, &str),
    (noun, prefix): (&'static str, &str),
    name: &str,
    advice: &str,
) -> Result<String, CommandError> {
    let answer = api::pages(client, operation, &json!({}), list).await?;
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let named = |one: &Value| {
        let tags = one["Tags"].as_array().into_iter().flatten();
        let tag = tags.into_iter().find(|tag| tag["Key"] == "Name");
        (text(one, member), tag.map(|tag| text(tag, "Value")).unwrap_or_default())
    };
    let all: Vec<(String, String)> = answer[list].as_array().into_iter().flatten().map(named).collect();
    let candidates: Vec<Candidate> = all
        .iter()
        .map(|(id, name)| Candidate { id, name, live: true })
        .collect();
    let place = pick(noun, prefix, name, &candidates, advice)?;
    Ok(all[place].0.clone())
}

/// The place of the candidate that `text` means: the identifier, else the exact name, else the only one whose identifier
/// (with or without its prefix) or name begins so.
fn pick(
    noun: &'static str,
    prefix: &str,
    text: &str,
    candidates: &[Candidate],
    advice: &str,
) -> Result<usize, CommandError> {
    let matching = |test: &dyn Fn(&Candidate) -> bool| -> Vec<usize> {
        candidates
            .iter()
            .enumerate()
            .filter(|(_, one)| test(one))
            .map(|(place, _)| place)
            .collect()
    };
    let digits = text.strip_prefix(prefix).unwrap_or(text);
    let begins = |one: &Candidate| {
        let id = one.id.strip_prefix(prefix).unwrap_or(one.id);
        let by_id = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()) && id.starts_with(digits);
        by_id || (!text.is_empty() && one.name.starts_with(text))
    };
    let tests: [&dyn Fn(&Candidate) -> bool; 4] = [
        &|one| one.id == text,
        &|one| one.live && !text.is_empty() && one.name == text,
        &|one| one.live && begins(one),
        &|one| begins(one),
    ];
    for test in tests {
        match matching(test).as_slice() {
            [] => {}
            [place] => return Ok(*place),
            several => {
                let matches = several.iter().map(|place| describe(&candidates[*place])).collect();
                return Err(CommandError::Ambiguous {
                    noun,
                    name: text.into(),
                    matches,
                });
            }
        }
    }
    Err(CommandError::NotFound {
        noun,
        name: text.into(),
        alike: alike(text, candidates),
        advice: advice.into(),
    })
}

fn describe(one: &Candidate) -> String {
    if one.name.is_empty() {
        one.id.to_string()
    } else {
        format!("{} ({})", one.id, one.name)
    }
}

/// Names that `text` may have been meant to be, the likeliest first.
fn alike(text: &str, candidates: &[Candidate]) -> Vec<String> {
    let close = |one: &Candidate| {
        let distance = strsim::damerau_levenshtein(text, one.name);
        (one.live && !one.name.is_empty() && distance <= 1 + text.chars().count() / 4)
            .then(|| (distance, one.name.to_string()))
    };
    let mut names: Vec<_> = candidates.iter().filter_map(close).collect();
    names.sort();
    names.dedup();
    names.into_iter().take(3).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Candidate; 5] = [
        Candidate {
            id: "i-0a1b2c3d4e5f60718",
            name: "web",
            live: true,
        },
        Candidate {
            id: "i-0a1bffffffffffff0",
            name: "web-2",
            live: true,
        },
        Candidate {
            id: "i-0cafe000000000000",
            name: "database",
            live: true,
        },
        Candidate {
            id: "i-0dead000000000000",
            name: "web",
            live: false,
        },
        Candidate {
            id: "i-0beef000000000000",
            name: "",
            live: true,
        },
    ];

    fn find(text: &str) -> Result<usize, CommandError> {
        pick("instance", "i-", text, &ALL, "look")
    }

    #[test]
    fn identifiers_names_and_unique_beginnings_are_found() {
        for (text, place) in [
            ("i-0a1b2c3d4e5f60718", 0),
            ("web", 0),
            ("web-2", 1),
            ("web-", 1),
            ("data", 2),
            ("i-0c", 2),
            ("0cafe", 2),
            ("i-0dead", 3),
            ("0b", 4),
        ] {
            assert_eq!(find(text).unwrap(), place, "{text}");
        }
    }

    #[test]
    fn what_several_have_is_ambiguous() {
        let error = find("i-0a1b").unwrap_err();
        assert_eq!(
            error.to_string(),
            "Several instances match \"i-0a1b\": i-0a1b2c3d4e5f60718 (web), i-0a1bffffffffffff0 (web-2)"
        );
        assert!(matches!(find("w"), Err(CommandError::Ambiguous { .. })));
    }

    #[test]
    fn a_typing_error_is_answered_with_the_name_that_was_meant() {
        let report = find("databsae").unwrap_err().report();
        assert!(report.contains("try: did you mean database?"), "{report}");
        let report = find("mail").unwrap_err().report();
        assert!(report.contains("try: look"), "{report}");
    }

    #[test]
    fn nothing_is_found_by_nothing() {
        for text in ["", "i-", "zzz"] {
            assert!(matches!(find(text), Err(CommandError::NotFound { .. })), "{text:?}");
        }
    }

    #[test]
    fn two_images_of_one_name_are_ambiguous() {
        let twins = [
            Candidate {
                id: "ami-1",
                name: "debian-12",
                live: true,
            },
            Candidate {
                id: "ami-2",
                name: "debian-12",
                live: true,
            },
        ];
        assert!(matches!(
            pick("image", "ami-", "debian-12", &twins, ""),
            Err(CommandError::Ambiguous { .. })
        ));
    }
}
