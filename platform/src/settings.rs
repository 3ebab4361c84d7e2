//! A service's own settings, with their type erased: defaults and reading. Where they come from is not
//! known here.

use std::any::Any;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The type of a service's own settings, erased.
pub(crate) trait SettingsType: Send + Sync {
    fn defaults(&self) -> serde_json::Value;
    fn parse(&self, value: serde_json::Value) -> Result<Arc<dyn Any + Send + Sync>, String>;
}

/// A service that has none.
pub(crate) struct NoSettings;

/// Settings of this type.
pub(crate) struct Typed<S>(std::marker::PhantomData<fn() -> S>);

impl<S> Default for Typed<S> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl SettingsType for NoSettings {
    fn defaults(&self) -> serde_json::Value {
        serde_json::json!({})
    }

    fn parse(&self, _value: serde_json::Value) -> Result<Arc<dyn Any + Send + Sync>, String> {
        Ok(Arc::new(()))
    }
}

impl<S> SettingsType for Typed<S>
where
    S: DeserializeOwned + Serialize + Default + Send + Sync + 'static,
{
    fn defaults(&self) -> serde_json::Value {
        serde_json::to_value(S::default()).unwrap_or_default()
    }

    fn parse(&self, value: serde_json::Value) -> Result<Arc<dyn Any + Send + Sync>, String> {
        let settings: S = serde_json::from_value(value).map_err(|error| error.to_string())?;
        Ok(Arc::new(settings))
    }
}
