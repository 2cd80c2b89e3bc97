//! `paster` runs the applications of a Paste Deploy file, each in worker processes of its own.
//!
//! ```text
//! INI file ── config ──▶ plan ──▶ supervise ──publishes──▶ router ──read by──▶ proxy ──▶ unix socket ──▶ app
//!             text→tree  desired  actual; state            table    one request, one lease
//!                        state    machines
//! ```
//!
//! - [`config`]: the Paste Deploy dialect: text to resolved tree, every value with its file and line.
//! - [`plan`]: what the tree asks for: listeners, routes, apps and their settings; nothing left to interpret.
//! - [`supervise`]: desired against actual state; pure state machines and the loop that carries out their effects.
//! - [`router`]: the route table and the messages that carry it; all that supervisor and proxy share.
//! - [`proxy`]: the front proxy process: client connections, queues, retries.
//! - [`keeper`]: the small process around each worker: it starts it, waits for it and lets nothing of it survive.
//! - [`confine`]: what a worker is kept from: control groups, namespaces, Landlock, seccomp.
//! - [`manager`]: the service manager (systemd) above us: what it passed, what it is told.
//! - [`logs`]: what workers print: read, kept, passed on.
//! - [`control`]: how `paster status` and its siblings talk to `paster serve`.
//! - [`reports`]: crash reports and the files in which they are kept.
//! - [`sys`]: what the operating system offers; the only `unsafe`.
//! - [`background`]: daemon, monitor, log file: what is around a paster in the background.
//! - [`runtime`]: the composition root of `paster serve`.
//! - [`cli`]: arguments, output, exit codes.

pub mod background;
pub mod cli;
pub mod config;
pub mod confine;
pub mod control;
#[cfg(test)]
mod fuzz;
pub mod keeper;
pub mod logs;
pub mod manager;
pub mod plan;
pub mod proxy;
pub mod reports;
#[cfg(test)]
mod rooms;
pub mod router;
pub mod runtime;
pub mod supervise;
pub mod sys;
