//! How `paster status` and its siblings talk to `paster serve`: HTTP with JSON over a unix socket (0600).

pub mod client;
pub mod feed;
pub mod journal;
pub mod kinds;
mod peer;
pub mod protocol;
pub mod query;
pub mod server;
pub mod stream;
pub mod traffic;
