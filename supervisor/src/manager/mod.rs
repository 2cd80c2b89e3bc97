//! The service manager that started us (systemd, or what speaks its protocol): what it gave us, what we tell it.
//!
//! It is the same protocol that workers speak to us, the other way round: `sd_notify(3)` and `sd_listen_fds(3)`.

mod inherited;
mod link;
mod notices;
mod sockets;

pub use inherited::{Inherited, VARIABLES};
pub use link::{Link, Undelivered};
pub use notices::{Notices, Phase};
pub use sockets::{Passed, PassedAddress, STORE_PREFIX, store_name, take};
