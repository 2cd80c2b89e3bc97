//! Crash reports: what is known of a worker's death that nobody asked for, and the files in which that is kept.

mod repeats;
pub mod report;
pub mod store;
