//! What a supervisor needs before it can start anything: taken anew, or from the program before it in this process.

use super::{Serve, ServeError};
use crate::background::{self, Monitor};
use crate::config::problem::Problem;
use crate::confine::cgroup::{self, Stranger};
use crate::control;
use crate::logs;
use crate::manager::Inherited;
use crate::plan::identity::{self, System};
use crate::plan::spec::{Plan, User};
use crate::supervise::access_log;
use crate::supervise::bind::{Binder, Bound, Hosts, Keeping, equip};
use crate::supervise::driver::FrozenDriver;
use crate::supervise::upgrade::{Descriptors, State};
use crate::sys;
use crate::sys::pidfile::PidFile;
use crate::sys::rundir::{self, RunDir, RunDirError};
use std::fs::File;
use std::io;
use std::os::unix::net::UnixListener;

/// The program in whose place we are: which it was, its state, and what it held.
pub(super) type Predecessor = (String, FrozenDriver, Descriptors);

/// What a supervisor holds while it serves.
pub(super) struct Holdings {
    pub(super) plan: Plan,
    pub(super) run_dir: RunDir,
    pub(super) listeners: Vec<Bound>,
    /// Names of stored listeners that the plan does not ask for.
    pub(super) forget: Vec<String>,
    pub(super) inherited: Inherited,
    pub(super) binder: Binder,
    pub(super) control: UnixListener,
    pub(super) pid_file: Option<PidFile>,
    pub(super) log: Option<File>,
    pub(super) proxy_uid: Option<u32>,
    /// Processes in our control groups that are not ours.
    pub(super) strangers: Vec<Stranger>,
    pub(super) predecessor: Option<Predecessor>,
}

impl Holdings {
    /// Takes everything anew; refuses before anything is started.
    pub(super) fn acquire(serve: Serve, mut plan: Plan) -> Result<Holdings, ServeError> {
        // Before the addresses, which would only say that they are in use.
        if let Some(pid) = rundir::holder(&serve.run_dir) {
            let path = serve.run_dir;
            return Err(ServeError::RunDir(RunDirError::Running { pid, path }));
        }
        if let Some(user) = &serve.identity {
            rundir::prepare_for(&serve.run_dir, user.uid, user.gid).map_err(ServeError::RunDir)?;
        }
        let mut listeners = Vec::new();
        let mut binder = serve.binder;
        for endpoint in &plan.listen {
            let bound = binder
                .bind(&endpoint.listen, &Hosts::default())
                .map_err(ServeError::Setup)?;
            listeners.extend(bound);
        }
        if let Some(user) = &serve.identity {
            become_user(user, &listeners)?;
            // Which the change has undone.
            serve.background.monitor.map_or(Ok(()), Monitor::follow)?;
            // As every reload will read it.
            plan = (serve.replan)().map_err(ServeError::Config)?;
        }
        equip(&mut listeners, &plan.listen);
        // From here on nothing needs privilege, and what is made belongs to the user.
        let run_dir = RunDir::open(&serve.run_dir).map_err(ServeError::RunDir)?;
        // The last worker of a group removes it, so there is something only after a kill.
        let marker = format!("NOTIFY_SOCKET={}/", run_dir.workers().display());
        let strangers = cgroup::clear(plan.cgroup_trees(), &run_dir.site_name(), &marker);
        let pid_file = serve.inherited.pid_file.as_deref().map(PidFile::create);
        let pid_file = pid_file.transpose().map_err(ServeError::PidFile)?;
        let log = serve
            .inherited
            .log_file
            .as_deref()
            .map(background::open_log);
        let log = log.transpose().map_err(ServeError::Setup)?;
        let forget = binder.drop_stored();
        let unused = binder.unused(&listeners);
        plan.warnings
            .extend(unused_sockets(&serve.complaints, &unused));
        let proxy_uid = identity::of_proxy(&System);
        if let Some(uid) = proxy_uid {
            run_dir.share_with_proxy(uid)?;
        }
        access_log::prepare(&plan.access_log, proxy_uid).map_err(ServeError::Setup)?;
        logs::check(&plan).map_err(ServeError::Setup)?;
        // Orphans of killed keepers come to us instead of init, which would not end them.
        nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)?;
        let control = control::server::bind(&run_dir.control())?;
        Ok(Holdings {
            plan,
            run_dir,
            listeners,
            forget,
            inherited: serve.inherited,
            binder,
            control,
            pid_file,
            log,
            proxy_uid,
            strangers,
            predecessor: None,
        })
    }

    /// Takes over what the previous program in this process has left in `state`.
    pub(super) fn take_over(serve: &Serve, state: File) -> Result<Holdings, ServeError> {
        let state = State::<FrozenDriver>::read(state).map_err(ServeError::Setup)?;
        let mut descriptors = state.inherit().map_err(ServeError::Setup)?;
        let driver = state.content;
        let surroundings = &driver.surroundings;
        let binder = Binder::thaw(surroundings.passed.clone(), &mut descriptors)?;
        let pid_file = match (&surroundings.inherited.pid_file, surroundings.pid_file) {
            (Some(path), Some(lock)) => Some(PidFile::take_over(path, descriptors.take(lock)?)),
            _ => None,
        };
        let plan = (serve.replan)().map_err(ServeError::Config)?;
        Ok(Holdings {
            plan,
            run_dir: RunDir::take_over(&surroundings.run_dir, descriptors.take(surroundings.lock)?),
            listeners: Vec::new(),
            forget: Vec::new(),
            inherited: surroundings.inherited.clone(),
            binder,
            control: descriptors.take(surroundings.control)?.into(),
            pid_file,
            log: None,
            proxy_uid: identity::of_proxy(&System),
            strangers: Vec::new(),
            predecessor: Some((state.version, driver, descriptors)),
        })
    }
}

/// Gives up privilege for good; the socket files that were made with it go along.
fn become_user(user: &User, listeners: &[Bound]) -> Result<(), ServeError> {
    for bound in listeners {
        if let (Some(path), Keeping::Own) = (&bound.path, &bound.keeping) {
            std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid))?;
        }
    }
    sys::identity::assume(user.uid, user.gid, &user.groups)
        .map_err(|error| ServeError::Setup(format!("cannot become user `{}`: {error}", user.name)))
}

/// Warnings about what was passed to us and is not served.
fn unused_sockets(complaints: &[String], unused: &[(String, String)]) -> Vec<Problem> {
    let complaints = complaints
        .iter()
        .map(|complaint| Problem::new("Warning", complaint.clone()));
    let unused = unused.iter().map(|(name, address)| {
        let what = format!(
            "the socket `{name}` on {address} was passed to paster, but the configuration does not listen there: its clients wait in vain"
        );
        let hint = format!(
            "listen on it with `--listen fd:{name}`, or let [server:main] name its address"
        );
        Problem::new("Warning", what).hint(hint)
    });
    complaints.chain(unused).collect()
}
