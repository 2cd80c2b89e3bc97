//! The promises of paster, kept by the program that a user runs: one module per promise.

#[path = "../harness/mod.rs"]
mod harness;

mod autoscale;
mod clients;
mod compress;
mod conformance;
mod control;
mod crash;
mod crashes;
mod daemon;
mod deadly;
mod descriptors;
mod events;
mod examples;
mod exec;
mod faults;
mod fixtures;
mod header_rules;
mod health;
mod http2;
mod init;
mod isolation;
mod limits;
mod listeners;
mod logs;
mod modes;
mod neighbours;
mod orphans;
mod output;
mod proxy;
mod readiness;
mod redirects;
mod reload;
mod restart;
mod routing;
mod status;
mod stop;
mod systemd;
mod tls;
mod top;
mod torture;
mod upgrade;
mod upkeep;
mod watch;
mod wsgi;
