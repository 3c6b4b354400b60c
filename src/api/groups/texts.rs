//! Names and descriptions, as EC2 lets them be.

use super::super::{ApiError, Code};
use crate::api::shown::shown;
use crate::model::DEFAULT_GROUP;

/// The longest text, in characters.
const MAX_LENGTH: usize = 255;
/// What may stand in a text beside letters and digits.
const MARKS: &str = " ._-:/()#,@[]+=&;{}!$*";

/// A new group's name, without the blanks at its end.
///
/// # Errors
/// `InvalidParameterValue`; `InvalidGroup.Reserved` for the name of default groups.
pub(super) fn group_name(text: &str) -> Result<String, ApiError> {
    let name = text.trim_end();
    check("GroupName", name)?;
    if name.is_empty() || name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("sg-")) {
        let message = format!("Value ({name}) for parameter GroupName is invalid. A name has characters, and is no id");
        return Err(ApiError::new(Code::InvalidParameterValue, message));
    }
    if name == DEFAULT_GROUP {
        let message = format!("The name '{DEFAULT_GROUP}' is reserved, and can't be used to create a security group");
        return Err(ApiError::new(Code::InvalidGroupReserved, message));
    }
    Ok(name.to_owned())
}

/// A new group's description, which must be there.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn group_description(text: String) -> Result<String, ApiError> {
    check("GroupDescription", &text)?;
    match text.is_empty() {
        false => Ok(text),
        true => Err(ApiError::new(
            Code::InvalidParameterValue,
            "A security group needs a GroupDescription",
        )),
    }
}

/// The description of a rule or of a list's entry; an empty one is none.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn description(text: Option<String>) -> Result<Option<String>, ApiError> {
    let text = text.filter(|text| !text.is_empty());
    text.as_deref().map_or(Ok(()), |text| check("Description", text))?;
    Ok(text)
}

fn check(member: &str, text: &str) -> Result<(), ApiError> {
    let known = |c: char| c.is_ascii_alphanumeric() || MARKS.contains(c);
    if text.chars().count() <= MAX_LENGTH && text.chars().all(known) {
        return Ok(());
    }
    let shown = shown(text);
    let message = format!(
        "Value ({shown}) for parameter {member} is invalid. It may have {MAX_LENGTH} characters of these: \
         a-z, A-Z, 0-9, and {MARKS}"
    );
    Err(ApiError::new(Code::InvalidParameterValue, message))
}
