//! Desired against actual state: pure state machines, and the loop that carries out their effects.

pub mod access_log;
pub mod backoff;
pub mod bind;
pub mod certificates;
mod contract;
pub mod deadly;
pub mod driver;
mod journey;
mod keeper_link;
pub mod launch;
pub mod machine;
mod notify;
mod probe;
pub mod proxy_link;
mod python_host;
mod readiness;
mod report_writer;
pub mod scaling;
pub mod table;
pub mod upgrade;
pub mod watch;
