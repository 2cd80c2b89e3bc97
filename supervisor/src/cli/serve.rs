//! `paster serve`

use super::args::ServeArgs;
use super::exit::Exit;
use super::problems::{self, Severity};
use super::{output, site};
use crate::config::problem::Problem;
use crate::confine::cgroup;
use crate::manager::{self, Inherited, Passed};
use crate::plan::address;
use crate::plan::build::{self, PlanRequest};
use crate::plan::spec::{AppKind, AppSpec, Plan};
use crate::runtime::{self, Serve, ServeError, Started};
use crate::supervise::bind::Binder;
use crate::supervise::upgrade::{self, Mode};
use crate::sys::rundir::{self, RunDirError};
use crate::sys::statedir;
use std::sync::Arc;

pub(crate) fn run(args: &ServeArgs) -> Exit {
    let mode = match upgrade::take_mode() {
        Ok(mode) => mode,
        Err(error) => return usage(&error),
    };
    let (inherited, sockets, complaints) = what_we_were_given(mode.as_ref());
    let mut request = match site::request(&args.config, args.isolate) {
        Ok(request) => request,
        Err(error) => return usage(&error),
    };
    request.passed = inherited.passed_names();
    let mut override_listen = Vec::new();
    for address in &args.listen {
        match address::listen(address) {
            Ok(listen) => override_listen.push(listen),
            Err(error) => return usage(&format!("--listen {address}: {error}")),
        }
    }
    let config = site::config_path(&args.config.config);
    let run_dir = rundir::locate(&config, args.run_dir.as_deref());
    // Absolute, because commands are told where it is.
    let state_dir = statedir::locate(&config, args.state_dir.as_deref());
    let state_dir = std::path::absolute(&state_dir).unwrap_or(state_dir);
    let mut serve = Serve {
        replan: Arc::new(move || replan(&request, &override_listen)),
        run_dir,
        inherited,
        binder: Binder::new(sockets),
        complaints,
        state_dir,
        take_over: None,
    };
    let result = match mode {
        Some(Mode::Check(state)) => runtime::consent(&serve, state).map(|consent| {
            output::answer(&serde_json::to_string(&consent).unwrap_or_default());
        }),
        Some(Mode::Exec(state)) => {
            serve.take_over = Some(state);
            runtime::serve(serve, |_| {})
        }
        None => runtime::serve(serve, |started| announce(args, started)),
    };
    match result {
        Ok(()) => Exit::Ok,
        Err(error) => {
            explain(&error, &args.config.config);
            Exit::Failed
        }
    }
}

/// Variables of the service protocol and passed sockets. A program that takes over, or is asked whether it can, has the
/// variables of the one before it; what they stand for is in the state that it is given.
fn what_we_were_given(mode: Option<&Mode>) -> (Inherited, Vec<Passed>, Vec<String>) {
    let variable = |name: &str| std::env::var(name).ok();
    match mode {
        None => {
            let inherited = Inherited::read(variable, std::process::id());
            // Before anything else is opened: passed descriptors are known by their numbers.
            let (sockets, complaints) = manager::take(&inherited.sockets);
            (inherited, sockets, complaints)
        }
        Some(Mode::Check(_)) => {
            let inherited = Inherited::read(variable, std::os::unix::process::parent_id());
            (inherited, Vec::new(), Vec::new())
        }
        Some(Mode::Exec(_)) => {
            let inherited = Inherited::read(variable, std::process::id());
            (inherited, Vec::new(), Vec::new())
        }
    }
}

fn usage(error: &str) -> Exit {
    output::message(&format!("error: {error}"));
    Exit::Usage
}

fn replan(
    request: &PlanRequest,
    override_listen: &[crate::plan::spec::Listen],
) -> Result<Plan, Vec<Problem>> {
    let mut plan = build::build(request)?;
    cgroup::settle(plan.cgroup_trees()).map_err(|(path, error)| {
        let message = format!("cannot limit groups below {}: {error}", path.display());
        let hint = "under systemd, set Delegate=yes; or remove `cgroup_*`";
        vec![Problem::new("SettingError", message).hint(hint)]
    })?;
    if !override_listen.is_empty() {
        plan.listen = override_listen.to_vec();
    }
    Ok(plan)
}

fn explain(error: &ServeError, config: &str) {
    match error {
        ServeError::Config(problems) => {
            output::message(&problems::render(problems, Severity::Error))
        }
        ServeError::RunDir(error) => {
            output::message(&format!("error: {error}"));
            if matches!(error, RunDirError::Running { .. }) {
                let config = shell_word(config);
                output::message(&format!(
                    "hint: `paster status {config}` shows it, `paster reload {config}` applies changes, `paster stop {config}` ends it"
                ));
            }
        }
        ServeError::Setup(error) => output::message(&format!("error: {error}")),
        ServeError::Io(error) => output::message(&format!("error: cannot start: {error}")),
    }
}

/// What a person at a terminal wants to know: where, what, and how to go on.
fn announce(args: &ServeArgs, started: &Started) {
    if !started.plan.warnings.is_empty() {
        output::message(&problems::render(&started.plan.warnings, Severity::Warning));
    }
    let mut lines = vec![
        format!(
            "paster {} serves {}",
            env!("CARGO_PKG_VERSION"),
            args.config.config
        ),
        String::new(),
    ];
    for address in &started.addresses {
        let url = if address.starts_with("unix:") {
            address.clone()
        } else {
            format!("http://{address}/")
        };
        lines.push(format!("  listening on  {url}"));
    }
    lines.push(String::new());
    let mounts: Vec<String> = started
        .plan
        .apps
        .values()
        .map(|app| app.mounts.join(" "))
        .collect();
    let mount_width = mounts.iter().map(String::len).max().unwrap_or(0);
    let name_width = started.plan.apps.keys().map(String::len).max().unwrap_or(0);
    for (app, mount) in started.plan.apps.values().zip(&mounts) {
        let workers = match &app.kind {
            AppKind::Upstream { .. } => "runs elsewhere".to_owned(),
            AppKind::Python { .. } | AppKind::Exec { .. } => format!(
                "{} × {}",
                plural(app.settings.processes, "process", "processes"),
                plural(app.settings.threads, "thread", "threads")
            ),
        };
        let kind = match &app.kind {
            AppKind::Python { .. } => "python".to_owned(),
            AppKind::Exec { argv, .. } => program_name(argv),
            AppKind::Upstream { .. } => "upstream".to_owned(),
        };
        lines.push(format!(
            "  {mount:mount_width$}  {:name_width$}  {kind}, {workers}",
            app.name
        ));
    }
    if let Some(note) = root_note(started.plan) {
        lines.push(String::new());
        lines.push(note);
    }
    lines.push(String::new());
    let config = shell_word(&args.config.config);
    let run_dir = args.run_dir.as_deref().map_or_else(String::new, |dir| {
        format!(" --run-dir {}", shell_word(&dir.to_string_lossy()))
    });
    lines.push("  in another terminal:".to_owned());
    lines.push(format!("    paster status {config}{run_dir}"));
    lines.push(format!("    paster restart {config}{run_dir} APP"));
    lines.push("  Ctrl-C stops (again: at once)".to_owned());
    lines.push(String::new());
    output::message(&lines.join("\n"));
}

/// As it has to be typed in a shell.
fn shell_word(text: &str) -> String {
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
}

/// As root, apps without a `user` are root too.
fn root_note(plan: &Plan) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let is_root = |app: &&AppSpec| {
        app.settings.user.is_none() && !matches!(app.kind, AppKind::Upstream { .. })
    };
    let count = plan.apps.values().filter(is_root).count();
    (count > 0).then(|| {
        let apps = plural(
            u32::try_from(count).unwrap_or(u32::MAX),
            "app runs",
            "apps run",
        );
        format!("  note: {apps} as root; `user = NAME` in [isolate] changes that")
    })
}

fn program_name(argv: &[String]) -> String {
    let program = argv.first().map_or("", String::as_str);
    program.rsplit('/').next().unwrap_or(program).to_owned()
}

fn plural(count: u32, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
