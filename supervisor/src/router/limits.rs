//! What clients may send and how long they may take.

use serde::{Deserialize, Serialize};

/// Times in milliseconds, sizes in bytes. docs/proxy.md says what each leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientLimits {
    /// From accept, or from the first byte of a later request, to the end of its head.
    pub head_timeout_ms: u64,
    /// Between two requests.
    pub keep_alive_timeout_ms: u64,
    /// Without a byte of a request body that is waited for.
    pub body_timeout_ms: u64,
    /// Without a byte of a response that the client takes.
    pub write_timeout_ms: u64,
    /// Request target; RFC 9112 section 3 asks for 8000 at least.
    pub max_target: usize,
    /// Request line and fields.
    pub max_head: usize,
    pub max_fields: usize,
    /// Client connections; none: what the limit of open files has room for.
    pub max_connections: Option<usize>,
}

impl Default for ClientLimits {
    fn default() -> ClientLimits {
        ClientLimits {
            head_timeout_ms: 15_000,
            keep_alive_timeout_ms: 75_000,
            body_timeout_ms: 30_000,
            write_timeout_ms: 30_000,
            max_target: 16 * 1024,
            max_head: 64 * 1024,
            max_fields: 100,
            max_connections: None,
        }
    }
}
