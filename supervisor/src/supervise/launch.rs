//! Starting one worker, in one of three ways: below a keeper of its own, as a template, or forked from one.

mod confinement;
mod keeper;
mod leftovers;
mod news;
mod notify_socket;
mod place;

pub(super) use leftovers::remove;
pub use news::News;
pub(super) use place::give_to_proxy;

use super::contract::{self, Placeholders, Seat};
use super::keeper_link::{self, Conversation, Launched, TemplateState};
use super::machine::WorkerId;
use crate::confine::cgroup::Group;
use crate::keeper::message::{Fork, FromKeeper, KeeperSpec};
use crate::logs::Logs;
use crate::plan::spec::{AppKind, Readiness};
use crate::router::message::WorkerAddress;
use confinement::{confinement, control_group, group_name};
use keeper::{attach, link_pair, nothing, spec, start_keeper};
use leftovers::tidily;
use notify_socket::notify_socket;
use place::Place;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc;
use tracing::level_filters::LevelFilter;

/// The program that runs now, to run its other roles from: also when a new version was installed in its place (proc(5)).
pub(super) const THIS_PROGRAM: &str = "/proc/self/exe";

/// What launching needs to know about the site.
#[derive(Clone)]
pub struct Site {
    /// Where this program is, for workers that ask it.
    pub program: PathBuf,
    /// As it was called: where a new version will be.
    pub invoked_as: PathBuf,
    pub config: PathBuf,
    pub workers_dir: PathBuf,
    /// What the site's control group is called.
    pub name: String,
    /// The apps' private temporary directories are made below.
    pub private_tmp: PathBuf,
    /// What is to survive a restart of paster; made when there is something.
    pub state_dir: PathBuf,
    /// The unprivileged user of the proxy, when it is not our own.
    pub proxy_uid: Option<u32>,
    /// What the log shows, unless `PASTER_LOG` says it.
    pub log_level: Option<LevelFilter>,
    /// With `--reload`: how often files are looked at.
    pub reload: Option<Duration>,
    pub logs: Logs,
    pub news: mpsc::Sender<(WorkerId, News)>,
}

/// Why a worker could not be started.
#[derive(Debug, thiserror::Error)]
#[error("could not be started: {step}: {error}")]
pub struct LaunchError {
    step: &'static str,
    error: io::Error,
}

/// Names the step that failed.
fn step(step: &'static str) -> impl FnOnce(io::Error) -> LaunchError {
    move |error| LaunchError { step, error }
}

/// A worker that is being started, and where it will listen.
pub struct Worker {
    pub launched: Launched,
    pub address: WorkerAddress,
}

/// Starts the keeper of worker `id`. How the start goes on is told by [`News`].
///
/// # Errors
/// What the operating system refuses: descriptors, processes, space. Nothing is left of the worker then.
pub(super) fn launch(site: &Site, seat: Seat<'_>, id: WorkerId) -> Result<Worker, LaunchError> {
    tidily(|files| start(site, seat, id, files))
}

/// Starts the template of a generation: what it is made of is told by [`News`], too. Its output is shown as that of `slot`.
///
/// # Errors
/// As [`launch`].
pub(super) fn launch_template(
    site: &Site,
    seat: Seat<'_>,
    id: WorkerId,
) -> Result<Launched, LaunchError> {
    tidily(|files| start_template(site, seat, id, files))
}

/// Prepares a worker, and the order to fork it. Until the order has been given, who has it is its keeper.
///
/// # Errors
/// As [`launch`].
pub(super) fn prepare_fork(
    site: &Site,
    seat: Seat<'_>,
    id: WorkerId,
) -> Result<(Worker, ForkOrder), LaunchError> {
    tidily(|files| start_forked(site, seat, id, files))
}

/// Tells by `files` what is to be removed, also where it fails.
fn start(
    site: &Site,
    seat: Seat<'_>,
    id: WorkerId,
    files: &mut Vec<PathBuf>,
) -> Result<Worker, LaunchError> {
    let app = seat.app;
    let place = Place::prepare(site, app, id, files).map_err(step("its socket"))?;
    let (notify, notify_path) = notify_socket(site, seat, id, files)?;
    let is_python = matches!(app.kind, AppKind::Python { .. });
    let spec = KeeperSpec {
        argv: contract::argv(seat, &place.placeholders),
        env: contract::environment(environment(), seat, place.listener.is_some(), &notify_path),
        has_listener: place.listener.is_some(),
        confinement: confinement(site, seat, id, &notify_path, &place.placeholders),
        ..spec(app)
    };
    let listener = match &place.listener {
        Some(listener) => listener.try_clone().map(OwnedFd::from),
        None => nothing(),
    };
    let listener = listener.map_err(step("its socket"))?;
    let readiness = match is_python {
        true => Readiness::Notify,
        false => app.settings.ready.clone(),
    };
    let title = format!("paster: keeper of {}:{}", app.name, seat.slot);
    let (keeper, link, output) = start_keeper(site, seat, id, &title, listener)?;
    let conversation = Conversation {
        keeper: Some(keeper),
        group: spec.confinement.as_ref().and_then(control_group),
        readiness,
        listener: place.listener.map(Arc::new),
        address: Some(place.address.clone()),
        ..Conversation::new(site, id, link, notify, files.clone())
    };
    Ok(Worker {
        launched: keeper_link::start(site, conversation, Some(spec), output),
        address: place.address,
    })
}

fn start_template(
    site: &Site,
    seat: Seat<'_>,
    id: WorkerId,
    files: &mut Vec<PathBuf>,
) -> Result<Launched, LaunchError> {
    let app = seat.app;
    let (notify, notify_path) = notify_socket(site, seat, id, files)?;
    let spec = KeeperSpec {
        argv: contract::template_argv(seat),
        env: contract::template_environment(environment(), seat, &notify_path),
        confinement: confinement(site, seat, id, &notify_path, &Placeholders::default()),
        template: true,
        ..spec(app)
    };
    let listener = nothing().map_err(step("its keeper"))?;
    let title = format!("paster: keeper of {} (preload)", app.name);
    let (keeper, link, output) = start_keeper(site, seat, id, &title, listener)?;
    let conversation = Conversation {
        keeper: Some(keeper),
        group: spec.confinement.as_ref().and_then(control_group),
        template: Some(TemplateState::Alive),
        ..Conversation::new(site, id, link, notify, files.clone())
    };
    Ok(keeper_link::start(site, conversation, Some(spec), output))
}

fn start_forked(
    site: &Site,
    seat: Seat<'_>,
    id: WorkerId,
    files: &mut Vec<PathBuf>,
) -> Result<(Worker, ForkOrder), LaunchError> {
    let app = seat.app;
    let place = Place::prepare(site, app, id, files).map_err(step("its socket"))?;
    let listener = place.listener.as_ref().map(UnixListener::try_clone);
    let listener = listener
        .unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))
        .map_err(step("its socket"))?;
    // No path: in a mount namespace of the template's it could not be reached.
    let (notify, its_notify) = UnixDatagram::pair().map_err(step("its notify socket"))?;
    let its_notify = its_notify.into_std().map_err(step("its notify socket"))?;
    let (stdout, worker_stdout) = io::pipe().map_err(step("a pipe for its output"))?;
    let (stderr, worker_stderr) = io::pipe().map_err(step("a pipe for its output"))?;
    let (link, keepers_link) = link_pair()?;
    let output = attach(site, seat, id, stdout, stderr)?;
    let cgroup = app.confined.confinement.cgroup.as_ref();
    let group = cgroup.map(|cgroup| (cgroup.clone(), group_name(site, seat, id)));
    let conversation = Conversation {
        group: group
            .as_ref()
            .map(|(cgroup, name)| Group::named(cgroup, name)),
        listener: place.listener.map(Arc::new),
        address: Some(place.address.clone()),
        ..Conversation::new(site, id, link, notify, files.clone())
    };
    let order = ForkOrder {
        link: keepers_link,
        fork: Fork {
            env: contract::forked_environment(seat),
            group,
        },
        for_worker: vec![
            listener.into(),
            its_notify.into(),
            worker_stdout.into(),
            worker_stderr.into(),
        ],
    };
    let worker = Worker {
        launched: keeper_link::start(site, conversation, None, output),
        address: place.address,
    };
    Ok((worker, order))
}

/// A worker that is to be forked. As long as that has not been ordered, this is the keeper's end of its link.
pub(super) struct ForkOrder {
    link: std::os::unix::net::UnixStream,
    fork: Fork,
    /// Listener, notifications, stdout, stderr.
    for_worker: Vec<OwnedFd>,
}

impl ForkOrder {
    /// To the keeper of the template.
    pub(super) fn give(self, template: &Launched) {
        let mut descriptors = vec![self.link.into()];
        descriptors.extend(self.for_worker);
        template.fork(self.fork, descriptors);
    }

    /// There will be no worker: says so as its keeper would.
    pub(super) fn call_off(mut self, why: &FromKeeper) {
        if let Ok(mut line) = serde_json::to_vec(why) {
            line.push(b'\n');
            // A short line into an empty socket. Should it be refused, the end says enough.
            let _ = self.link.write_all(&line);
        }
    }
}

fn environment() -> impl Iterator<Item = (String, String)> {
    // What is not UTF-8 cannot be put into JSON; such variables are not passed on.
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
}
