//! What the operating system offers, one function each; the only `unsafe` of this package.

#![allow(
    unsafe_code,
    reason = "raw descriptors and fork live here and nowhere else"
)]

pub mod child;
pub mod env;
pub mod fd;
pub mod heap;
pub mod identity;
pub mod mount;
pub mod net;
pub mod oom;
pub mod passing;
pub mod pidfile;
pub mod process;
pub mod proctree;
pub mod rundir;
pub mod shortage;
pub mod statedir;
pub mod usage;
pub mod wait;
