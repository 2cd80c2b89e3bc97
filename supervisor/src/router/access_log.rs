//! What the proxy is told about its access log.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Where requests are logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(tag = "to", rename_all = "snake_case")]
pub enum AccessLog {
    #[default]
    Off,
    /// The proxy's standard output.
    Stdout { format: LogFormat },
    File {
        path: PathBuf,
        format: LogFormat,
        rotation: Rotation,
    },
}

/// Format of an access log line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Common,
    #[default]
    Combined,
    /// An object with a field for each fact.
    Json,
    /// A text with variables, see [`super::log_format`].
    Text(String),
}

/// When a log file is put aside, and how many of them stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// In bytes.
    pub max_size: Option<u64>,
    pub max_age: Option<Duration>,
    /// Old files, beside the one that is written.
    pub keep: u32,
}

impl Rotation {
    /// Somebody else rotates, or nobody does.
    pub const NEVER: Rotation = Rotation {
        max_size: None,
        max_age: None,
        keep: 10,
    };
}
