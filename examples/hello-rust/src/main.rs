//! A small guest book: typed configuration, mount-aware links, and a body that is read while it comes.

mod page;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::service::service_fn;
use paster_worker::{BoxError, Error, Incoming, Worker};
use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A guest who writes more than this gets 413.
const LONGEST_ENTRY: usize = 10_000;

/// The options in `[app:hello]`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    greeting: String,
    #[serde(default = "ten")]
    max_items: usize,
    #[serde(default)]
    style: page::Style,
    /// Tells browsers how long a page may be kept; not at all without it.
    cache_for: Option<Duration>,
}

fn ten() -> usize {
    10
}

struct Book {
    config: Config,
    worker: page::About,
    started: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    requests: u64,
    entries: VecDeque<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    paster_worker::report(run().await)
}

async fn run() -> Result<(), Error> {
    let worker = Worker::from_env()?;
    let book = Arc::new(Book {
        config: worker.config()?,
        worker: page::About {
            app: worker.app().to_owned(),
            slot: worker.slot(),
            generation: worker.generation(),
        },
        started: Instant::now(),
        state: Mutex::default(),
    });
    worker
        .serve(service_fn(move |request| {
            let book = Arc::clone(&book);
            async move { book.answer(request).await }
        }))
        .await
}

impl Book {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, BoxError> {
        let mount = paster_worker::mount(&request).to_owned();
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/" | "") => self.front_page(&mount),
            (&Method::POST, "/entries") => self.write(&mount, request.into_body()).await,
            _ => Ok(text(StatusCode::NOT_FOUND, "there is no such page\n")?),
        }
    }

    fn front_page(&self, mount: &str) -> Result<Response<Full<Bytes>>, BoxError> {
        let (requests, entries) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.requests += 1;
            (state.requests, state.entries.clone())
        };
        let html = page::front(&page::Front {
            about: &self.worker,
            greeting: &self.config.greeting,
            style: self.config.style,
            mount,
            uptime: self.started.elapsed(),
            requests,
            entries: &entries,
        });
        let response = Response::builder().header(header::CONTENT_TYPE, "text/html; charset=utf-8");
        let response = match self.config.cache_for {
            Some(time) => {
                response.header(header::CACHE_CONTROL, format!("max-age={}", time.as_secs()))
            }
            None => response.header(header::CACHE_CONTROL, "no-store"),
        };
        Ok(response.body(Full::from(html))?)
    }

    /// Takes the body as one entry, newest first, and forgets the oldest one over `max_items`.
    async fn write(&self, mount: &str, body: Incoming) -> Result<Response<Full<Bytes>>, BoxError> {
        let Ok(body) = Limited::new(body, LONGEST_ENTRY).collect().await else {
            return Ok(text(
                StatusCode::PAYLOAD_TOO_LARGE,
                "that is too long for this guest book\n",
            )?);
        };
        let body = body.to_bytes();
        let entry = page::form_value(&String::from_utf8_lossy(&body));
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.requests += 1;
            state.entries.push_front(entry);
            state.entries.truncate(self.config.max_items);
        }
        let response = Response::builder().status(StatusCode::SEE_OTHER);
        Ok(response
            .header(header::LOCATION, format!("{mount}/"))
            .body(Full::default())?)
    }
}

fn text(status: StatusCode, text: &'static str) -> http::Result<Response<Full<Bytes>>> {
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "text/plain");
    response.body(Full::from(text))
}
