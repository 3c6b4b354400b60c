//! Public parameters of Systems Manager: those that stand for images (`/aws/service/…`). Asked for by SSM's GetParameter, and
//! where RunInstances says `resolve:ssm:…`.

use super::{ApiError, Code, World};
use crate::api::shown::shown_up_to;
use crate::model::{Image, ImageState};
use crate::store;
use std::sync::Arc;

/// What stands before a parameter's name where an image's id is expected.
const RESOLVE: &str = "resolve:ssm:";

/// The image that a public parameter stands for: the newest of its name that can be launched.
///
/// # Errors
/// `InternalError`.
pub async fn image(world: &World, parameter: &str) -> Result<Option<Image>, ApiError> {
    let Some(name) = world.image_aliases.by_parameter(parameter) else {
        return Ok(None);
    };
    let images = world.store.read(store::images::list).await?;
    let named = images
        .into_iter()
        .filter(|image| image.name == name && image.state == ImageState::Available);
    Ok(named.max_by_key(|image| image.created))
}

/// The id that stands for an image's place in a request: its own, or that of the image which a parameter stands for.
///
/// # Errors
/// `InvalidParameterValue` for a parameter that stands for no image here.
pub(super) async fn resolve(world: &Arc<World>, id: String) -> Result<String, ApiError> {
    let Some(parameter) = id.strip_prefix(RESOLVE) else {
        return Ok(id);
    };
    match image(world, parameter).await? {
        Some(image) => Ok(image.id.to_string()),
        None => {
            let shown = shown_up_to(parameter, 128);
            let message = format!(
                "The parameter '{shown}' stands for no image of this host: 'kiln images' lists those there are, and each is \
                 found by /aws/service/kiln/NAME"
            );
            Err(ApiError::new(Code::InvalidParameterValue, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::api::Code;
    use crate::api::testing::TestWorld;
    use serde_json::json;

    #[tokio::test]
    async fn a_parameter_stands_for_the_image_of_its_name() {
        let world = TestWorld::new().await;
        world.tiny_image().await;
        let (image, parameter) = (TestWorld::TINY_IMAGE, "/aws/service/kiln/tiny");
        let found = super::image(&world.world, parameter).await.unwrap();
        assert_eq!(found.map(|found| found.id), Some(image));
        let run = json!({"ImageId": format!("resolve:ssm:{parameter}"), "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1});
        let launched = world.call("RunInstances", run).await.unwrap();
        assert_eq!(launched["Instances"][0]["ImageId"], image.to_string());
        let nothing = json!({"ImageId": "resolve:ssm:/aws/service/kiln/nothing", "MinCount": 1, "MaxCount": 1});
        let error = world.call("RunInstances", nothing).await.unwrap_err();
        assert_eq!(error.code, Code::InvalidParameterValue);
    }
}
