//! The proxy process alone: the real binary in its proxy role, a test that plays the supervisor, and backends that
//! misbehave.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod backend;
mod buffering;
mod client;
mod conformance;
mod deadly;
mod failures;
mod front;
mod hostile;
mod lifecycle;
mod streaming;
