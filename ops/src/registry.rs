//! The retailer's schemas in a registry: what is missing, and putting it there. A deploy step; it
//! never removes or changes what is registered.

use millrace::contract::{Cleanup, Topic};
use millrace::{Registry, RegistryError};
use schemas::{EVENTS, EventInfo};
use serde::Serialize;

/// The schema of one fact, and whether the registry has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaState {
    /// Registry subject.
    pub subject: String,
    /// How the subject may change.
    pub compatibility: &'static str,
    /// The id, if exactly this schema is registered.
    pub id: Option<u32>,
}

/// How the schemas of a topic may change: old and new builds read each other's events, while a
/// state is only ever read by newer ones.
pub fn compatibility(topic: &Topic) -> &'static str {
    match topic.cleanup {
        Cleanup::Compact => "BACKWARD_TRANSITIVE",
        Cleanup::Delete { .. } => "FULL_TRANSITIVE",
    }
}

/// Every schema of this build, as the registry knows it.
///
/// # Errors
/// `Unavailable`, or what the registry refuses.
pub async fn examine(registry: &Registry) -> Result<Vec<SchemaState>, RegistryError> {
    let mut states = Vec::with_capacity(EVENTS.len());
    for event in EVENTS {
        let id = match registry.id_of(&event.subject(), event.schema).await {
            Ok(id) => Some(id),
            Err(RegistryError::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        states.push(state(event, id));
    }
    Ok(states)
}

/// Registers every schema of this build and sets how its subject may change. What is registered
/// already stays as it is.
///
/// # Errors
/// `Refused` when a schema does not fit the versions before it; `Unavailable`.
pub async fn register(registry: &Registry) -> Result<Vec<SchemaState>, RegistryError> {
    let mut states = Vec::with_capacity(EVENTS.len());
    for event in EVENTS {
        let (subject, level) = (event.subject(), compatibility(event.topic));
        // Before, so that the new version is held against it; some registries have no level for a
        // subject that does not exist yet.
        let set = registry.set_compatibility(Some(&subject), level).await;
        let id = registry.register(&subject, event.schema).await?;
        match set {
            Ok(()) => {}
            Err(RegistryError::Missing { .. }) => {
                registry.set_compatibility(Some(&subject), level).await?;
            }
            Err(error) => return Err(error),
        }
        states.push(state(event, Some(id)));
    }
    Ok(states)
}

fn state(event: &EventInfo, id: Option<u32>) -> SchemaState {
    SchemaState { subject: event.subject(), compatibility: compatibility(event.topic), id }
}
