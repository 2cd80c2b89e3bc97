//! Write a paster worker in Rust.
//!
//! A worker is one process that serves one app over HTTP/1.1 on a listener that paster hands over
//! (docs/worker-contract.md). This crate does the worker's side of that contract.
//!
//! ```no_run
//! use http_body_util::Full;
//! use hyper::body::Bytes;
//! use paster_worker::{Error, Incoming, Worker};
//! use std::{convert::Infallible, process::ExitCode, time::Duration};
//!
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     greeting: String,
//!     cache_for: Option<Duration>,
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> ExitCode {
//!     paster_worker::report(hello().await)
//! }
//!
//! async fn hello() -> Result<(), Error> {
//!     let worker = Worker::from_env()?;
//!     let config: &'static Config = Box::leak(Box::new(worker.config()?));
//!     worker
//!         .serve(hyper::service::service_fn(async |_request: http::Request<Incoming>| {
//!             Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from_static(config.greeting.as_bytes()))))
//!         }))
//!         .await
//! }
//! ```
//!
//! - `worker`: what a program sees: [`Worker`].
//! - `env`, `fd`: what was passed on, and taking it over; `fd` has the only `unsafe`.
//! - `config`: options as a typed struct.
//! - `standalone`: the command line of a program that runs without paster.
//! - `notify`: messages to the supervisor.
//! - `listener`, `service`, `serve`, `shutdown`: HTTP until told to stop, then the drain.
//! - `error`: what can go wrong, and the exit status for it.

mod config;
mod env;
mod error;
mod fd;
mod listener;
mod mount;
mod notify;
mod serve;
mod service;
mod shutdown;
mod standalone;
mod worker;

pub use config::{Conf, ConfigError, Document};
pub use error::{BoxError, Error, report};
pub use hyper::body::Incoming;
pub use listener::Listener;
pub use mount::mount;
pub use notify::Notifier;
pub use service::HttpService;
pub use shutdown::Shutdown;
pub use standalone::UsageError;
pub use worker::Worker;

/// The README's program is compiled with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
