//! The route table and the messages that carry it: all that supervisor and proxy share.
//!
//! The supervisor is the only writer. The proxy holds one immutable table at a time and replaces it whole.

pub mod access_log;
pub mod answers;
pub mod histogram;
pub mod limits;
pub mod log_format;
pub mod message;
pub mod redirect;
pub mod traffic;
pub mod urlmap;
