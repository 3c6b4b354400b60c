//! Access keys of the query endpoint: made, listed and deleted over the Unix socket by the users in whose names they act.
//!
//! IAM's words, but no operations of EC2's: `wire::native` has them as resources. A user sees and deletes his own; root all.

use super::{ApiError, Caller, Code, World};
use crate::api::shown::shown;
use crate::model::{AccessKey, AccessKeyId};
use crate::store;
use rusqlite::Connection;
use time::OffsetDateTime;

/// The most keys of one user.
const MAX_KEYS: usize = 100;

/// Makes a key that acts in the caller's name.
///
/// # Errors
/// `LimitExceeded` beyond 100 keys; `InternalError`.
pub async fn create(world: &World, caller: Caller) -> Result<AccessKey, ApiError> {
    let made = AccessKey::generate((caller.uid, caller.gid), OffsetDateTime::now_utc());
    let key = made.map_err(|error| ApiError::internal(&error))?;
    let kept = key.clone();
    let done = world.store.write(move |store| {
        let own = store::access_keys::list(store)?
            .iter()
            .filter(|key| key.uid == caller.uid)
            .count();
        if own >= MAX_KEYS {
            let message = format!("This user has {MAX_KEYS} access keys; delete one first");
            return Err(ApiError::new(Code::LimitExceeded, message));
        }
        Ok(store::access_keys::add(store, &kept)?)
    });
    done.await?;
    Ok(key)
}

/// The keys that the caller may see, the oldest first.
///
/// # Errors
/// `InternalError`.
pub async fn list(world: &World, caller: Caller) -> Result<Vec<AccessKey>, ApiError> {
    let mut keys = world.store.read(store::access_keys::list).await?;
    keys.retain(|key| may_see(caller, key));
    Ok(keys)
}

/// Deletes a key: what is signed with it is refused from now on.
///
/// # Errors
/// `NoSuchEntity` for a key that is not there, or is not the caller's.
pub async fn delete(world: &World, caller: Caller, id: &str) -> Result<(), ApiError> {
    let shown = shown(id);
    let none = move || ApiError::new(Code::NoSuchEntity, format!("The access key '{shown}' does not exist"));
    let Ok(id) = id.parse::<AccessKeyId>() else {
        return Err(none());
    };
    let done = world.store.write(move |store: &Connection| {
        match store::access_keys::get(store, &id)?.filter(|key| may_see(caller, key)) {
            Some(key) => Ok(store::access_keys::remove(store, &key.id)?),
            None => Err(none()),
        }
    });
    done.await
}

/// The key of that id, for whoever signs with it.
///
/// # Errors
/// `InternalError`.
pub async fn find(world: &World, id: &str) -> Result<Option<AccessKey>, ApiError> {
    let Ok(id) = id.parse::<AccessKeyId>() else {
        return Ok(None);
    };
    Ok(world
        .store
        .read(move |store: &Connection| store::access_keys::get(store, &id))
        .await?)
}

const fn may_see(caller: Caller, key: &AccessKey) -> bool {
    caller.uid == 0 || caller.uid == key.uid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::TestWorld;

    const fn user(uid: u32) -> Caller {
        Caller {
            uid,
            gid: uid,
            pid: None,
        }
    }

    #[tokio::test]
    async fn a_user_has_keys_of_his_own_and_root_sees_all() {
        let world = TestWorld::new().await.world;
        let (one, other) = (
            create(&world, user(7)).await.unwrap(),
            create(&world, user(8)).await.unwrap(),
        );
        let own = list(&world, user(7)).await.unwrap();
        assert_eq!(own.iter().map(|key| &key.id).collect::<Vec<_>>(), [&one.id]);
        assert_eq!(list(&world, user(0)).await.unwrap().len(), 2);
        let refused = delete(&world, user(7), other.id.as_str()).await.unwrap_err();
        assert_eq!(refused.code, Code::NoSuchEntity);
        delete(&world, user(7), one.id.as_str()).await.unwrap();
        assert_eq!(find(&world, one.id.as_str()).await.unwrap(), None);
        let found = find(&world, other.id.as_str()).await.unwrap().unwrap();
        assert_eq!((found.id, found.secret, found.uid), (other.id, other.secret, 8));
        assert_eq!(
            delete(&world, user(0), "x\n").await.unwrap_err().code,
            Code::NoSuchEntity
        );
    }

    #[tokio::test]
    async fn a_user_has_no_more_keys_than_there_may_be() {
        let world = TestWorld::new().await.world;
        for _ in 0..MAX_KEYS {
            create(&world, user(7)).await.unwrap();
        }
        assert_eq!(create(&world, user(7)).await.unwrap_err().code, Code::LimitExceeded);
        create(&world, user(8)).await.unwrap();
    }
}
