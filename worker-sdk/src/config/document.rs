//! The JSON document behind `PASTE_CONFIG_FD` (docs/worker-contract.md, "The configuration").

use super::Conf;
use serde::Deserialize;
use std::path::PathBuf;

/// Version of the worker contract that this crate speaks.
pub(crate) const CONTRACT: u32 = 1;

/// What paster tells a worker about its app. Fields that only Python apps get are left out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Document {
    pub contract: u32,
    /// Name of the app: that of its section.
    pub app: String,
    /// Number of the worker within its app, from 0; stable across restarts.
    #[serde(default)]
    pub slot: u32,
    /// Grows with each rollout of the app, from 1.
    #[serde(default = "first_generation")]
    pub generation: u64,
    #[serde(default)]
    pub global_conf: Conf,
    #[serde(default)]
    pub local_conf: Conf,
    /// Where the app is visible, e.g. `/blog`.
    #[serde(default)]
    pub mounts: Vec<String>,
    /// How many requests paster sends at the same time.
    #[serde(default = "default_threads")]
    pub threads: u32,
    /// `debug` of the configuration.
    #[serde(default)]
    pub debug: bool,
    /// The INI file that is served; none when the program runs alone.
    #[serde(default)]
    pub config_file: Option<PathBuf>,
}

impl Document {
    /// What a program gets that runs without paster.
    pub(crate) fn alone(app: String) -> Document {
        Document {
            contract: CONTRACT,
            app,
            slot: 0,
            generation: first_generation(),
            global_conf: Conf::new(),
            local_conf: Conf::new(),
            mounts: vec!["/".to_owned()],
            threads: default_threads(),
            debug: false,
            config_file: None,
        }
    }
}

fn first_generation() -> u64 {
    1
}

/// paster's default for `threads`.
fn default_threads() -> u32 {
    4
}
