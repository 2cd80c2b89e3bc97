//! The original as the judge: PasteDeploy and Paste answer the same questions as our binary, and both must agree.
//!
//! - `fixtures`: hand-written configurations, one directory each, one rule of the dialect each.
//! - `generated`: random texts and random structures, from a seed that is printed (`PASTER_SEED` repeats a run).
//! - `urlmaps`: which app gets a request, with which SCRIPT_NAME and PATH_INFO; by the router, by `paster routes`, and by a running site.
//! - `peer`: our driver of the original against an independent one, where that is at hand.
//!
//! The original is installed once into `target/test-venvs/oracle`. What is allowed to differ, and why, is the table
//! in `deviations`.

mod compare;
mod deviations;
mod eggs;
mod environment;
mod fixtures;
mod generate;
mod generated;
mod judge;
mod oracle;
mod peer;
mod program;
mod proxied;
mod urlmaps;

#[path = "../../harness/venv.rs"]
mod venv;
