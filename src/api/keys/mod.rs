//! CreateKeyPair, ImportKeyPair, DescribeKeyPairs, DeleteKeyPair.

mod material;

use super::filter::{Filter, Filters};
use super::instant::instant;
use super::tagging::{TagSpecification, TagSpecifications, WireTag};
use super::{ApiError, Call, Code, Operation, ids};
use crate::base64;
use crate::model::{KeyName, KeyPair, KeyPairId, KeyType, ResourceId, Tag};
use crate::store::{self, StoreError, random_bits};
use material::PublicHalf;
pub use material::public_key_line;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The operations of this family.
pub fn rows() -> Vec<Operation> {
    vec![
        Operation::new("CreateKeyPair", create),
        Operation::new("DeleteKeyPair", delete),
        Operation::new("DescribeKeyPairs", describe),
        Operation::new("ImportKeyPair", import),
    ]
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct CreateKeyPair {
    key_name: String,
    key_type: Option<String>,
    key_format: Option<String>,
    tag_specifications: Vec<TagSpecification>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct ImportKeyPair {
    key_name: String,
    /// Base64 of a line as `ssh-keygen` writes it.
    public_key_material: String,
    tag_specifications: Vec<TagSpecification>,
}

/// A pair that is there now; with its private half, if that was made here.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Added {
    key_pair_id: String,
    key_name: String,
    key_fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_material: Option<String>,
    tags: Vec<WireTag>,
}

async fn create(call: Call, request: CreateKeyPair) -> Result<Added, ApiError> {
    let name = parse_name(&request.key_name)?;
    let tags = TagSpecifications::new(request.tag_specifications, &["key-pair"])?;
    let kind = request.key_type.as_deref().unwrap_or("rsa");
    let kind = KeyType::from_name(kind).ok_or_else(|| {
        let message = format!("'{kind}' is not a key type: expecting rsa or ed25519");
        ApiError::new(Code::InvalidParameterValue, message)
    })?;
    if let Some(format) = request.key_format.filter(|format| format != "pem") {
        let message = format!("kiln gives keys in the format pem, not {format}; puttygen converts them");
        return Err(ApiError::new(Code::UnsupportedOperation, message));
    }
    // Before a key is made for nothing; whether the name is free still then, `add` sees.
    let taken = name.clone();
    call.world.store.read(move |store| must_be_free(store, &taken)).await?;
    call.checked()?;
    let made = name.clone();
    let pair = tokio::task::spawn_blocking(move || material::make(kind, &made));
    let pair = pair.await.map_err(|error| ApiError::internal(&error))??;
    let mut added = add(&call, name, pair.public, tags.of("key-pair").to_vec()).await?;
    added.key_material = Some(pair.private);
    Ok(added)
}

async fn import(call: Call, request: ImportKeyPair) -> Result<Added, ApiError> {
    let name = parse_name(&request.key_name)?;
    let tags = TagSpecifications::new(request.tag_specifications, &["key-pair"])?;
    let bytes = base64::decode(&request.public_key_material).ok_or_else(|| {
        let message = "PublicKeyMaterial is not base64: give the key's line coded so";
        ApiError::new(Code::InvalidKeyFormat, message)
    })?;
    let public = material::read(&bytes, &name)?;
    add(&call, name, public, tags.of("key-pair").to_vec()).await
}

async fn add(call: &Call, name: KeyName, public: PublicHalf, tags: Vec<Tag>) -> Result<Added, ApiError> {
    let pair = KeyPair {
        id: KeyPairId::from_random(random_bits()),
        name,
        kind: public.kind,
        fingerprint: public.fingerprint,
        public_key: public.line,
        created: OffsetDateTime::now_utc(),
    };
    let dry_run = call.dry_run;
    let done = call.world.store.write(move |store| {
        must_be_free(store, &pair.name)?;
        if dry_run {
            return Err(super::call::dry_run());
        }
        store::key_pairs::add(store, &pair)?;
        for tag in &tags {
            store::tags::put(store, ResourceId::KeyPair(pair.id), tag)?;
        }
        Ok(Added {
            key_pair_id: pair.id.to_string(),
            key_name: pair.name.to_string(),
            key_fingerprint: pair.fingerprint,
            key_material: None,
            tags: tags.into_iter().map(Into::into).collect(),
        })
    });
    done.await
}

fn must_be_free(store: &Connection, name: &KeyName) -> Result<(), ApiError> {
    match store::key_pairs::named(store, name)? {
        None => Ok(()),
        Some(_) => {
            let message = format!("The keypair '{name}' already exists");
            Err(ApiError::new(Code::InvalidKeyPairDuplicate, message))
        }
    }
}

fn parse_name(text: &str) -> Result<KeyName, ApiError> {
    let parsed: Result<KeyName, _> = text.parse();
    parsed.map_err(|error| {
        let shown = text.chars().take(64).collect::<String>().escape_debug().to_string();
        let message = format!("Invalid value \"{shown}\" for KeyName: {error}");
        ApiError::new(Code::InvalidParameterValue, message)
    })
}

fn parse_id(text: &str) -> Result<KeyPairId, ApiError> {
    ids::parse(text, Code::InvalidParameterValue)
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct DescribeKeyPairs {
    key_names: Vec<String>,
    key_pair_ids: Vec<String>,
    filters: Vec<Filter>,
    include_public_key: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedKeyPairs {
    key_pairs: Vec<WireKeyPair>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireKeyPair {
    key_pair_id: String,
    key_name: String,
    key_type: &'static str,
    key_fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    create_time: String,
    tags: Vec<WireTag>,
}

async fn describe(call: Call, request: DescribeKeyPairs) -> Result<DescribedKeyPairs, ApiError> {
    let filters = Filters::new(request.filters, &["fingerprint", "key-name", "key-pair-id"], true)?;
    let names: Vec<KeyName> = request
        .key_names
        .iter()
        .map(|name| parse_name(name))
        .collect::<Result<_, _>>()?;
    let ids: Vec<KeyPairId> = request
        .key_pair_ids
        .iter()
        .map(|id| parse_id(id))
        .collect::<Result<_, _>>()?;
    let mut all = call.world.store.read(list).await?;
    if let Some(missing) = names
        .iter()
        .find(|name| !all.iter().any(|(pair, _)| pair.name == **name))
    {
        return Err(not_found(missing.as_str()));
    }
    if let Some(missing) = ids.iter().find(|id| !all.iter().any(|(pair, _)| pair.id == **id)) {
        return Err(not_found(&missing.to_string()));
    }
    if !names.is_empty() || !ids.is_empty() {
        all.retain(|(pair, _)| names.contains(&pair.name) || ids.contains(&pair.id));
    }
    all.retain(|(pair, tags)| {
        let values = |name: &str| match name {
            "fingerprint" => vec![pair.fingerprint.clone()],
            "key-name" => vec![pair.name.to_string()],
            _ => vec![pair.id.to_string()],
        };
        filters.pass(values, tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())))
    });
    let shown = all.into_iter().map(|(pair, tags)| WireKeyPair {
        key_pair_id: pair.id.to_string(),
        key_name: pair.name.to_string(),
        key_type: pair.kind.name(),
        key_fingerprint: pair.fingerprint,
        public_key: request.include_public_key.then_some(pair.public_key),
        create_time: instant(pair.created),
        tags: tags.into_iter().map(Into::into).collect(),
    });
    Ok(DescribedKeyPairs {
        key_pairs: shown.collect(),
    })
}

fn list(store: &Connection) -> Result<Vec<(KeyPair, Vec<Tag>)>, StoreError> {
    let with_tags = |pair: KeyPair| {
        let tags = store::tags::of(store, ResourceId::KeyPair(pair.id))?;
        Ok((pair, tags))
    };
    store::key_pairs::list(store)?.into_iter().map(with_tags).collect()
}

fn not_found(name: &str) -> ApiError {
    let message = format!("The key pair '{name}' does not exist");
    ApiError::new(Code::InvalidKeyPairNotFound, message)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteKeyPair {
    key_name: Option<String>,
    key_pair_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Deleted {
    r#return: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_pair_id: Option<String>,
}

/// Deletes the public half that is kept here. As at EC2 it is no error that there is none of that name.
async fn delete(call: Call, request: DeleteKeyPair) -> Result<Deleted, ApiError> {
    let name = request.key_name.as_deref().map(parse_name).transpose()?;
    let id = request.key_pair_id.as_deref().map(parse_id).transpose()?;
    if name.is_none() == id.is_none() {
        let message = "The request must name one key pair, by KeyName or by KeyPairId";
        return Err(ApiError::new(Code::MissingParameter, message));
    }
    call.checked()?;
    let done = call.world.store.write(move |store| {
        let found = match (name, id) {
            (Some(name), _) => store::key_pairs::named(store, &name)?,
            (None, Some(id)) => store::key_pairs::get(store, id)?,
            (None, None) => None,
        };
        if let Some(pair) = &found {
            store::tags::remove_all(store, ResourceId::KeyPair(pair.id))?;
            store::key_pairs::remove(store, pair.id)?;
        }
        Ok::<_, ApiError>(Deleted {
            r#return: true,
            key_pair_id: found.map(|pair| pair.id.to_string()),
        })
    });
    done.await
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestWorld;
    use super::base64;
    use serde_json::json;

    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBERERERERERERERERERERERERERERERERERERERERER me@here";

    #[tokio::test]
    async fn a_pair_is_made_once_and_only_its_public_half_is_kept() {
        let world = TestWorld::new().await;
        let tags = json!([{"ResourceType": "key-pair", "Tags": [{"Key": "of", "Value": "me"}]}]);
        let request = json!({"KeyName": "mine", "KeyType": "ed25519", "TagSpecifications": tags});
        let made = world.call("CreateKeyPair", request.clone()).await.unwrap();
        let private = made["KeyMaterial"].as_str().unwrap();
        assert!(private.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
        assert_eq!(
            world.refused("CreateKeyPair", request).await,
            "InvalidKeyPair.Duplicate"
        );

        let world = world.restart().await;
        let ask = json!({"Filters": [{"Name": "tag:of", "Values": ["me"]}], "IncludePublicKey": true});
        let described = world.call("DescribeKeyPairs", ask).await.unwrap();
        let pair = &described["KeyPairs"][0];
        assert_eq!(pair["KeyPairId"], made["KeyPairId"]);
        assert_eq!(pair["KeyFingerprint"], made["KeyFingerprint"]);
        assert_eq!(pair["KeyType"], "ed25519");
        assert!(pair["PublicKey"].as_str().unwrap().starts_with("ssh-ed25519 "));
        assert!(!described.to_string().contains("PRIVATE"));
    }

    #[tokio::test]
    async fn a_public_key_is_imported_and_described_by_name_and_by_id() {
        let world = TestWorld::new().await;
        let request = json!({"KeyName": "theirs", "PublicKeyMaterial": base64::encode(LINE.as_bytes())});
        let imported = world.call("ImportKeyPair", request.clone()).await.unwrap();
        assert!(imported.get("KeyMaterial").is_none());
        assert_eq!(
            world.refused("ImportKeyPair", request).await,
            "InvalidKeyPair.Duplicate"
        );
        for ask in [
            json!({"KeyNames": ["theirs"]}),
            json!({"KeyPairIds": [imported["KeyPairId"]]}),
        ] {
            let described = world.call("DescribeKeyPairs", ask).await.unwrap();
            assert_eq!(described["KeyPairs"][0]["KeyName"], "theirs");
            assert!(described["KeyPairs"][0].get("PublicKey").is_none());
        }
        let refused = world.refused("DescribeKeyPairs", json!({"KeyNames": ["nobody"]})).await;
        assert_eq!(refused, "InvalidKeyPair.NotFound");
    }

    #[tokio::test]
    async fn a_deleted_pair_is_gone_and_deleting_it_again_is_no_error() {
        let world = TestWorld::new().await;
        let request = json!({"KeyName": "k", "PublicKeyMaterial": base64::encode(LINE.as_bytes())});
        let id = world.call("ImportKeyPair", request).await.unwrap()["KeyPairId"].clone();
        let tag = json!({"Resources": [id], "Tags": [{"Key": "a", "Value": "b"}]});
        world.call("CreateTags", tag.clone()).await.unwrap();
        assert_eq!(
            world
                .refused("DeleteKeyPair", json!({"KeyName": "k", "DryRun": true}))
                .await,
            "DryRunOperation"
        );
        let deleted = world.call("DeleteKeyPair", json!({"KeyName": "k"})).await.unwrap();
        assert_eq!(deleted["KeyPairId"], id);
        let again = world.call("DeleteKeyPair", json!({"KeyName": "k"})).await.unwrap();
        assert_eq!(again, json!({"Return": true}));
        assert_eq!(world.refused("CreateTags", tag).await, "InvalidKeyPair.NotFound");
        let tags = world.call("DescribeTags", json!({})).await.unwrap();
        assert_eq!(tags["Tags"], json!([]));
    }

    #[tokio::test]
    async fn bad_requests_are_told_in_ec2s_codes() {
        let world = TestWorld::new().await;
        for (operation, request, code) in [
            ("CreateKeyPair", json!({"KeyName": " x"}), "InvalidParameterValue"),
            (
                "CreateKeyPair",
                json!({"KeyName": "x", "KeyType": "dsa"}),
                "InvalidParameterValue",
            ),
            (
                "CreateKeyPair",
                json!({"KeyName": "x", "KeyFormat": "ppk"}),
                "UnsupportedOperation",
            ),
            (
                "CreateKeyPair",
                json!({"KeyName": "x", "DryRun": true}),
                "DryRunOperation",
            ),
            (
                "ImportKeyPair",
                json!({"KeyName": "x", "PublicKeyMaterial": "aGk="}),
                "InvalidKey.Format",
            ),
            (
                "ImportKeyPair",
                json!({"KeyName": "x", "PublicKeyMaterial": base64::encode(LINE.as_bytes()), "DryRun": true}),
                "DryRunOperation",
            ),
            ("DeleteKeyPair", json!({}), "MissingParameter"),
            ("DeleteKeyPair", json!({"KeyPairId": "key-1"}), "InvalidParameterValue"),
        ] {
            assert_eq!(
                world.refused(operation, request.clone()).await,
                code,
                "{operation} {request}"
            );
        }
        let described = world.call("DescribeKeyPairs", json!({})).await.unwrap();
        assert_eq!(described["KeyPairs"], json!([]));
    }
}
