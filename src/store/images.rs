//! Images and their block device mappings.

use super::columns::{Micros, Size};
use super::{StoreError, instance_store};
use crate::model::{
    BlockDevice, Grantee, Image, ImageAttributes, ImageId, ImageOwner, ImageSource, ProductCode, ResourceId,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

fn read(row: &Row<'_>) -> rusqlite::Result<Image> {
    Ok(Image {
        id: row.get("id")?,
        name: row.get("name")?,
        description: row.get("description")?,
        owner: row.get("owner")?,
        state: row.get("state")?,
        state_reason: row.get("state_reason")?,
        architecture: row.get("architecture")?,
        root_device_name: row.get("root_device_name")?,
        block_devices: Vec::new(),
        instance_store: Vec::new(),
        kernel: row.get("kernel")?,
        ramdisk: row.get("ramdisk")?,
        source: ImageSource {
            image: row.get("source_image")?,
            instance: row.get("source_instance")?,
        },
        attributes: ImageAttributes {
            launch_permissions: Vec::new(),
            deprecated: row.get::<_, Option<Micros>>("deprecated")?.map(|at| at.0),
            protected: row.get("protected")?,
            product_codes: Vec::new(),
        },
        created: row.get::<_, Micros>("created")?.0,
    })
}

fn read_device(row: &Row<'_>) -> rusqlite::Result<BlockDevice> {
    Ok(BlockDevice {
        device_name: row.get("device_name")?,
        snapshot: row.get("snapshot")?,
        size: row.get::<_, Size>("size")?.0,
        delete_on_termination: row.get("delete_on_termination")?,
    })
}

fn with_devices(connection: &Connection, mut image: Image) -> Result<Image, StoreError> {
    let sql = "SELECT * FROM image_devices WHERE image = ?1 ORDER BY place";
    let mut statement = connection.prepare_cached(sql)?;
    image.block_devices = statement
        .query_map([image.id], read_device)?
        .collect::<Result<_, _>>()?;
    image.instance_store = instance_store::of(connection, ResourceId::Image(image.id))?;
    let sql = "SELECT grantee FROM image_permissions WHERE image = ?1 ORDER BY grantee";
    let mut statement = connection.prepare_cached(sql)?;
    let permission = |row: &Row<'_>| Ok(Grantee::from(row.get::<_, String>("grantee")?));
    image.attributes.launch_permissions = statement.query_map([image.id], permission)?.collect::<Result<_, _>>()?;
    let sql = "SELECT code, kind FROM image_product_codes WHERE image = ?1 ORDER BY code";
    let mut statement = connection.prepare_cached(sql)?;
    let code = |row: &Row<'_>| {
        Ok(ProductCode {
            id: row.get("code")?,
            kind: row.get("kind")?,
        })
    };
    image.attributes.product_codes = statement.query_map([image.id], code)?.collect::<Result<_, _>>()?;
    Ok(image)
}

/// Says of an image what its owner does; [`put`] leaves that as it is.
///
/// # Errors
/// The database's.
pub fn set_attributes(connection: &Connection, id: ImageId, attributes: &ImageAttributes) -> Result<(), StoreError> {
    let sql = "UPDATE images SET deprecated = ?2, protected = ?3 WHERE id = ?1";
    let deprecated = attributes.deprecated.map(Micros);
    connection
        .prepare_cached(sql)?
        .execute(params![id, deprecated, attributes.protected])?;
    connection
        .prepare_cached("DELETE FROM image_permissions WHERE image = ?1")?
        .execute([id])?;
    let mut statement = connection.prepare_cached("INSERT INTO image_permissions (image, grantee) VALUES (?1, ?2)")?;
    for permission in &attributes.launch_permissions {
        statement.execute(params![id, permission.as_str()])?;
    }
    connection
        .prepare_cached("DELETE FROM image_product_codes WHERE image = ?1")?
        .execute([id])?;
    let sql = "INSERT INTO image_product_codes (image, code, kind) VALUES (?1, ?2, ?3)";
    let mut statement = connection.prepare_cached(sql)?;
    for code in &attributes.product_codes {
        statement.execute(params![id, code.id, code.kind])?;
    }
    Ok(())
}

/// Adds an image or replaces the record of the one with its id.
///
/// # Errors
/// The database's; a second image of one owner with the same name is one.
pub fn put(connection: &Connection, image: &Image) -> Result<(), StoreError> {
    let sql = "INSERT INTO images (id, name, description, owner, state, state_reason, architecture, root_device_name, \
               kernel, ramdisk, created, source_image, source_instance) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
               ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description, \
               state = excluded.state, state_reason = excluded.state_reason, kernel = excluded.kernel, \
               ramdisk = excluded.ramdisk";
    connection.prepare_cached(sql)?.execute(params![
        image.id,
        image.name,
        image.description,
        image.owner,
        image.state,
        image.state_reason,
        image.architecture,
        image.root_device_name,
        image.kernel,
        image.ramdisk,
        Micros(image.created),
        image.source.image,
        image.source.instance,
    ])?;
    connection
        .prepare_cached("DELETE FROM image_devices WHERE image = ?1")?
        .execute([image.id])?;
    let sql = "INSERT INTO image_devices (image, place, device_name, snapshot, size, delete_on_termination) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    for (place, device) in (0_i64..).zip(&image.block_devices) {
        connection.prepare_cached(sql)?.execute(params![
            image.id,
            place,
            device.device_name,
            device.snapshot,
            Size(device.size),
            device.delete_on_termination,
        ])?;
    }
    instance_store::put(connection, ResourceId::Image(image.id), &image.instance_store)
}

super::tokens::queries!("images", ImageId);

/// The image of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: ImageId) -> Result<Option<Image>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM images WHERE id = ?1")?;
    let image = statement.query_row([id], read).optional()?;
    image.map(|image| with_devices(connection, image)).transpose()
}

/// An owner's image of that name.
///
/// # Errors
/// The database's.
pub fn by_name(connection: &Connection, owner: ImageOwner, name: &str) -> Result<Option<Image>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM images WHERE owner = ?1 AND name = ?2")?;
    let image = statement.query_row(params![owner, name], read).optional()?;
    image.map(|image| with_devices(connection, image)).transpose()
}

/// All images, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<Image>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM images ORDER BY id")?;
    let images = statement.query_map([], read)?.collect::<Result<Vec<_>, _>>()?;
    images
        .into_iter()
        .map(|image| with_devices(connection, image))
        .collect()
}

/// Removes an image. Instances of it, and its snapshots, stay.
///
/// # Errors
/// The database's.
pub fn remove(connection: &Connection, id: ImageId) -> Result<(), StoreError> {
    instance_store::remove(connection, ResourceId::Image(id))?;
    connection
        .prepare_cached("DELETE FROM images WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}
