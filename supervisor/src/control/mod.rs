//! How `paster status` and its siblings talk to `paster serve`: HTTP with JSON over a unix socket (0600).

pub mod client;
pub mod protocol;
pub mod server;
