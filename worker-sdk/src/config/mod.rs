//! The app's configuration: the JSON document that paster hands over, and its typed reading.
//!
//! Values are strings, as in the INI file. [`read`] turns them into the fields of a struct.

mod de;
mod document;
mod error;
mod scalar;

pub(crate) use document::CONTRACT;
pub use document::Document;
pub use error::ConfigError;

use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Option name to value, as written in the INI file.
pub type Conf = BTreeMap<String, String>;

/// Reads the options into `T`, by the table at [`crate::Worker::config`].
///
/// # Errors
/// The first option that is missing, unknown or does not parse; the error names it.
pub(crate) fn read<T: DeserializeOwned>(conf: &Conf) -> Result<T, ConfigError> {
    T::deserialize(de::Options::new(conf))
}

/// Whether a text means yes, as `bool` fields read it.
pub(crate) fn is_on(text: &str) -> bool {
    scalar::boolean(text).unwrap_or(false)
}

#[cfg(test)]
mod tests;
