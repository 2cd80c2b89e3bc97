//! What a worker is given: arguments, environment, configuration (docs/worker-contract.md).

use crate::config::tree::{Conf, Node};
use crate::manager::VARIABLES;
use crate::plan::spec::{AppKind, AppSpec};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Version of the contract.
const CONTRACT: u32 = 1;
/// Descriptors as the worker sees them.
const CONFIG_FD: u32 = 4;
const HOST_FD: u32 = 5;
/// Where a template is told what to fork; only our own Python host knows of it.
const FORK_FD: u32 = 6;

/// Which worker is to be started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat<'a> {
    pub(super) app: &'a AppSpec,
    pub(super) slot: u32,
    pub(super) generation: u64,
}

/// What placeholders stand for, where an app uses them.
#[derive(Debug, Clone, Default)]
pub(super) struct Placeholders {
    pub(super) socket: Option<PathBuf>,
    pub(super) port: Option<u16>,
}

/// Program and arguments.
pub(super) fn argv(seat: Seat, placeholders: &Placeholders) -> Vec<String> {
    match &seat.app.kind {
        AppKind::Python { interpreter, .. } => {
            python_argv(interpreter, format!("{}:{}", seat.app.name, seat.slot))
        }
        AppKind::Exec { argv, .. } => argv
            .iter()
            .map(|arg| fill(arg, seat, placeholders))
            .collect(),
        AppKind::Upstream { .. } | AppKind::Static(_) => Vec::new(),
    }
}

/// Those of the template from which Python workers are forked; they keep them.
pub(super) fn template_argv(seat: Seat) -> Vec<String> {
    match &seat.app.kind {
        AppKind::Python { interpreter, .. } => {
            python_argv(interpreter, format!("{}:preload", seat.app.name))
        }
        AppKind::Exec { .. } | AppKind::Upstream { .. } | AppKind::Static(_) => Vec::new(),
    }
}

/// The last argument is for people who look at processes.
fn python_argv(interpreter: &Path, name: String) -> Vec<String> {
    vec![
        interpreter.to_string_lossy().into_owned(),
        "-c".to_owned(),
        crate::supervise::python_host::command(HOST_FD),
        name,
    ]
}

fn fill(arg: &str, seat: Seat, placeholders: &Placeholders) -> String {
    let mut filled = arg
        .replace("{app}", &seat.app.name)
        .replace("{slot}", &seat.slot.to_string());
    if let Some(socket) = &placeholders.socket {
        filled = filled.replace("{socket}", &socket.to_string_lossy());
    }
    if let Some(port) = placeholders.port {
        filled = filled.replace("{port}", &port.to_string());
    }
    filled
}

/// The complete environment: ours, without what belongs to our own activation; the app's `environment`; the contract.
pub(super) fn environment(
    inherited: impl Iterator<Item = (String, String)>,
    seat: Seat,
    has_listener: bool,
    notify_socket: &Path,
) -> BTreeMap<String, String> {
    let mut env = common_environment(inherited, seat, notify_socket);
    env.extend(forked_environment(seat));
    if has_listener {
        env.insert("LISTEN_FDS".to_owned(), "1".to_owned());
        env.insert("LISTEN_FDNAMES".to_owned(), "http".to_owned());
    }
    env
}

/// That of a template: it is no worker, and has no slot.
pub(super) fn template_environment(
    inherited: impl Iterator<Item = (String, String)>,
    seat: Seat,
    notify_socket: &Path,
) -> BTreeMap<String, String> {
    let mut env = common_environment(inherited, seat, notify_socket);
    env.insert("PASTE_FORK_FD".to_owned(), FORK_FD.to_string());
    env
}

/// What each worker that is forked from a template has besides.
pub(super) fn forked_environment(seat: Seat) -> BTreeMap<String, String> {
    let settings = &seat.app.settings;
    let mut env = BTreeMap::new();
    env.insert("PASTE_SLOT".to_owned(), seat.slot.to_string());
    env.insert("PASTE_PROCESSES".to_owned(), settings.processes.to_string());
    if let Some(watchdog) = settings.watchdog {
        env.insert("WATCHDOG_USEC".to_owned(), watchdog.as_micros().to_string());
    }
    env
}

fn common_environment(
    inherited: impl Iterator<Item = (String, String)>,
    seat: Seat,
    notify_socket: &Path,
) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = inherited.filter(|(key, _)| !is_ours(key)).collect();
    env.extend(seat.app.settings.environment.clone());
    env.insert(
        "NOTIFY_SOCKET".to_owned(),
        notify_socket.to_string_lossy().into_owned(),
    );
    env.insert("PASTE_CONFIG_FD".to_owned(), CONFIG_FD.to_string());
    env.insert("PASTE_APP".to_owned(), seat.app.name.clone());
    env.insert("PASTE_GENERATION".to_owned(), seat.generation.to_string());
    env
}

fn is_ours(key: &str) -> bool {
    key.starts_with("LISTEN_")
        || key.starts_with("PASTE_")
        || VARIABLES.contains(&key)
        || key == "RUNTIME_DIRECTORY"
}

#[derive(Serialize)]
struct Configuration<'a> {
    contract: u32,
    app: &'a str,
    slot: u32,
    generation: u64,
    global_conf: &'a Conf,
    local_conf: &'a Conf,
    mounts: &'a [String],
    threads: u32,
    debug: bool,
    config_file: &'a Path,
    #[serde(flatten)]
    python: Option<PythonConfiguration<'a>>,
}

#[derive(Serialize)]
struct PythonConfiguration<'a> {
    tree: &'a Node,
    python_path: &'a [PathBuf],
    logging: Option<&'a Path>,
    resolver: [String; 2],
    tell_files: bool,
}

/// The JSON document on `PASTE_CONFIG_FD`.
pub(super) fn configuration(
    seat: Seat,
    config_file: &Path,
    program: &Path,
    tell_files: bool,
) -> serde_json::Result<Vec<u8>> {
    let empty = Conf::new();
    let (node, python) = match &seat.app.kind {
        AppKind::Python {
            tree,
            python_path,
            logging,
            ..
        } => {
            let resolver = [program.to_string_lossy().into_owned(), "member".to_owned()];
            (
                Some(tree),
                Some(PythonConfiguration {
                    tree,
                    python_path,
                    logging: logging.as_ref().map(|logging| logging.file.as_path()),
                    resolver,
                    tell_files,
                }),
            )
        }
        AppKind::Exec { node, .. } => (Some(node), None),
        AppKind::Upstream { .. } | AppKind::Static(_) => (None, None),
    };
    serde_json::to_vec(&Configuration {
        contract: CONTRACT,
        app: &seat.app.name,
        slot: seat.slot,
        generation: seat.generation,
        global_conf: node.map_or(&empty, |node| &node.global_conf),
        local_conf: node.map_or(&empty, |node| &node.local_conf),
        mounts: &seat.app.mounts,
        threads: seat.app.settings.threads,
        debug: seat.app.debug,
        config_file,
        python,
    })
}
