//! Our binary.

use crate::environment;
use crate::judge::Query;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

/// Processes that run at the same time.
const PARALLEL: usize = 4;
/// Far beyond what one call takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// What `paster resolve` prints for each query, in order; anything that is no proper answer comes as
/// `{"improper": …}`, which equals nothing.
pub(crate) fn resolve_all(queries: &[Query]) -> Vec<Value> {
    parallel(queries, resolve)
}

fn resolve(query: &Query) -> Value {
    let mut command = paster(&query.directory, &query.path);
    command.args(["resolve", "--kind", &query.kind]);
    if let Some(name) = &query.name {
        command.arg("--name").arg(name);
    }
    command.arg("--").arg(&query.uri);
    command.args(
        query
            .global_conf
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );

    let output = match finish(command) {
        Ok(output) => output,
        Err(improper) => return improper,
    };
    let answer: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    let code = answer
        .as_ref()
        .map(|answer| i32::from(answer["context"].get("error").is_some()));
    match answer {
        Some(answer) if output.status.code() == code => answer,
        _ => improper(&output),
    }
}

/// What `paster routes --json` prints for the URLs.
pub(crate) fn routes(directory: &Path, config: &str, urls: &[String]) -> Value {
    let mut command = paster(directory, &[]);
    command.args(["routes", "--json", "--", config]).args(urls);
    match finish(command) {
        Ok(output) => serde_json::from_slice(&output.stdout).unwrap_or_else(|_| improper(&output)),
        Err(improper) => improper,
    }
}

/// Applies `work` to all items, several at a time; results are in the order of the items.
pub(crate) fn parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                while let Some((index, item)) = Some(next.fetch_add(1, Ordering::Relaxed))
                    .and_then(|index| items.get(index).map(|item| (index, item)))
                {
                    let result = work(item);
                    done.lock()
                        .expect("no worker panics while it holds the lock")
                        .push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("all workers are done");
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn paster(directory: &Path, path: &[std::path::PathBuf]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_paster"));
    command
        .current_dir(directory)
        .env("VIRTUAL_ENV", environment::directory())
        .env(
            "PYTHONPATH",
            std::env::join_paths(path).expect("no directory of a test has a colon in its name"),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn finish(mut command: Command) -> Result<Output, Value> {
    let child = command.spawn().expect("start paster");
    let pid = Pid::from_raw(child.id().try_into().expect("a pid is a positive i32"));
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || send.send(child.wait_with_output()));
        match receive.recv_timeout(DEADLINE) {
            Ok(output) => Ok(output.expect("read what paster prints")),
            Err(_) => {
                // Not reaped yet: the thread above still waits for it.
                let _ = kill(pid, Signal::SIGKILL);
                Err(json!({ "improper": format!("no answer within {DEADLINE:?}") }))
            }
        }
    })
}

fn improper(output: &Output) -> Value {
    json!({ "improper": {
        "status": output.status.to_string(),
        "stdout": String::from_utf8_lossy(&output.stdout),
        "stderr": String::from_utf8_lossy(&output.stderr),
    }})
}
