//! The digest by which two requests are told to be the same: for `ClientToken` and `NextToken`.

use crate::api::call::Digest;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Members that don't change what is asked.
const BLIND: [&str; 4] = ["ClientToken", "DryRun", "MaxResults", "NextToken"];

/// The digest of a request. The order of members does not matter: `serde_json` keeps them sorted.
#[must_use]
pub fn digest(operation: &str, request: &Value) -> Digest {
    let mut request = request.clone();
    if let Value::Object(members) = &mut request {
        members.retain(|name, _| !BLIND.contains(&name.as_str()));
    }
    let sum = Sha256::digest(format!("{operation}{request}"));
    Digest(
        sum.iter()
            .take(8)
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_members_and_the_paging_do_not_count_and_all_else_does() {
        let of = |operation: &str, request: &str| digest(operation, &serde_json::from_str(request).unwrap());
        let one = of("RunInstances", r#"{"ImageId":"ami-1","MinCount":1}"#);
        assert_eq!(
            one,
            of(
                "RunInstances",
                r#"{"MinCount":1,"DryRun":true,"ImageId":"ami-1","ClientToken":"t"}"#
            )
        );
        assert_ne!(one, of("RunInstances", r#"{"ImageId":"ami-2","MinCount":1}"#));
        assert_ne!(one, of("StartInstances", r#"{"ImageId":"ami-1","MinCount":1}"#));
        assert_ne!(
            digest("X", &json!({"A": {"NextToken": "1"}})),
            digest("X", &json!({"A": {}}))
        );
    }
}
