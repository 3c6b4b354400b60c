//! Launch templates and their versions.

use super::StoreError;
use super::columns::Micros;
use crate::model::{LaunchTemplate, LaunchTemplateId, LaunchTemplateName, TemplateVersion};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

/// A template with the number of its latest version, which is nowhere but in the versions themselves.
const TEMPLATES: &str = "SELECT *, (SELECT MAX(number) FROM launch_template_versions WHERE template = id) AS latest \
                         FROM launch_templates";

fn read(row: &Row<'_>) -> rusqlite::Result<LaunchTemplate> {
    Ok(LaunchTemplate {
        id: row.get("id")?,
        name: row.get("name")?,
        default_version: row.get("default_version")?,
        latest_version: row.get("latest")?,
        last_number: row.get("last_number")?,
        created: row.get::<_, Micros>("created")?.0,
    })
}

fn read_version(row: &Row<'_>) -> rusqlite::Result<TemplateVersion> {
    Ok(TemplateVersion {
        template: row.get("template")?,
        number: row.get("number")?,
        description: row.get("description")?,
        data: row.get("data")?,
        created: row.get::<_, Micros>("created")?.0,
    })
}

/// Adds a template; its first version is to follow in the same transaction. `request` is the client token that it was
/// asked for with, and the digest of that request.
///
/// # Errors
/// The database's; a name or a token that is taken is one.
pub fn add(
    connection: &Connection,
    template: &LaunchTemplate,
    request: Option<(&str, &str)>,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO launch_templates \
               (id, name, default_version, last_number, client_token, request_digest, created) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let (token, digest) = request.unzip();
    connection.prepare_cached(sql)?.execute(params![
        template.id,
        template.name,
        template.default_version,
        template.last_number,
        token,
        digest,
        Micros(template.created),
    ])?;
    Ok(())
}

/// Adds a version, whose number is its template's last one from then on.
///
/// # Errors
/// The database's; a number or a token that is taken is one.
pub fn add_version(
    connection: &Connection,
    version: &TemplateVersion,
    request: Option<(&str, &str)>,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO launch_template_versions \
               (template, number, description, data, client_token, request_digest, created) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let (token, digest) = request.unzip();
    connection.prepare_cached(sql)?.execute(params![
        version.template,
        version.number,
        version.description,
        version.data,
        token,
        digest,
        Micros(version.created),
    ])?;
    let sql = "UPDATE launch_templates SET last_number = ?2 WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![version.template, version.number])?;
    Ok(())
}

/// The template that was asked for with that client token, and the digest of that request.
///
/// # Errors
/// The database's.
pub fn asked_with(connection: &Connection, token: &str) -> Result<Option<(LaunchTemplate, String)>, StoreError> {
    let sql = format!("{TEMPLATES} WHERE client_token = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_row([token], |row| Ok((read(row)?, row.get("request_digest")?)));
    Ok(found.optional()?)
}

/// The version that was asked for with that client token, and the digest of that request.
///
/// # Errors
/// The database's.
pub fn version_asked_with(
    connection: &Connection,
    token: &str,
) -> Result<Option<(TemplateVersion, String)>, StoreError> {
    let sql = "SELECT * FROM launch_template_versions WHERE client_token = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([token], |row| Ok((read_version(row)?, row.get("request_digest")?)));
    Ok(found.optional()?)
}

fn one(connection: &Connection, column: &str, value: impl ToSql) -> Result<Option<LaunchTemplate>, StoreError> {
    let sql = format!("{TEMPLATES} WHERE {column} = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row([value], read).optional()?)
}

/// The template of that id.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: LaunchTemplateId) -> Result<Option<LaunchTemplate>, StoreError> {
    one(connection, "id", id)
}

/// The template of that name.
///
/// # Errors
/// The database's.
pub fn named(connection: &Connection, name: &LaunchTemplateName) -> Result<Option<LaunchTemplate>, StoreError> {
    one(connection, "name", name)
}

/// All templates, by id.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection) -> Result<Vec<LaunchTemplate>, StoreError> {
    let sql = format!("{TEMPLATES} ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The versions of a template, the latest first.
///
/// # Errors
/// The database's.
pub fn versions(connection: &Connection, id: LaunchTemplateId) -> Result<Vec<TemplateVersion>, StoreError> {
    let sql = "SELECT * FROM launch_template_versions WHERE template = ?1 ORDER BY number DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([id], read_version)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One version of a template.
///
/// # Errors
/// The database's.
pub fn version(
    connection: &Connection,
    id: LaunchTemplateId,
    number: u32,
) -> Result<Option<TemplateVersion>, StoreError> {
    let sql = "SELECT * FROM launch_template_versions WHERE template = ?1 AND number = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row(params![id, number], read_version).optional()?)
}

/// Makes a version, which must be there, the default one.
///
/// # Errors
/// The database's.
pub fn set_default(connection: &Connection, id: LaunchTemplateId, number: u32) -> Result<(), StoreError> {
    let sql = "UPDATE launch_templates SET default_version = ?2 WHERE id = ?1";
    connection.prepare_cached(sql)?.execute(params![id, number])?;
    Ok(())
}

/// Removes a version, which must not be the default one; gives whether it was there.
///
/// # Errors
/// The database's.
pub fn remove_version(connection: &Connection, id: LaunchTemplateId, number: u32) -> Result<bool, StoreError> {
    let sql = "DELETE FROM launch_template_versions WHERE template = ?1 AND number = ?2";
    Ok(connection.prepare_cached(sql)?.execute(params![id, number])? > 0)
}

/// Removes a template with all its versions.
///
/// # Errors
/// The database's.
pub fn remove(connection: &Connection, id: LaunchTemplateId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM launch_templates WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}
