//! From the resolved tree to the plan: listeners, routes, apps and their settings.
//!
//! - [`spec`]: the plan as data.
//! - [`cut`]: where the tree is cut into apps; [`stock`]: which filters fan out.
//! - [`settings`]: `[isolate]` sections; [`keys`]: the table of their keys; [`units`]: how values are written.
//! - `log`: where the output of apps goes.
//! - [`listen`]: the addresses that `[server:main]` asks for; `manner`, `certificate`: how clients are spoken to there;
//!   `synonyms`: options of servers that are settings.
//! - `static_files`: apps that the proxy serves itself.
//! - [`needs`]: the files that stay reachable for an app.
//! - [`build`]: all of it together.
//! - [`diff`]: what a reload has to touch.

pub mod address;
pub mod build;
mod certificate;
mod client_certificates;
mod confined;
pub mod cut;
pub mod diff;
#[cfg(test)]
mod docs;
mod domains;
mod error_pages;
mod exec;
mod filters;
mod foreign;
mod header_rules;
pub mod identity;
pub mod keys;
pub mod listen;
mod log;
pub mod loggers;
mod manner;
mod media_types;
mod names;
pub mod needs;
mod networks;
mod proxy_rights;
mod redirects;
mod region;
mod revocation;
mod sections;
mod servers;
pub mod settings;
pub mod spec;
mod static_files;
pub mod stock;
mod suggest;
mod synonyms;
#[cfg(test)]
pub(crate) mod testing;
pub mod units;
pub(crate) mod values;
