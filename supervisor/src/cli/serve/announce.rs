//! The summary of a start.

use crate::cli::args::ServeArgs;
use crate::cli::output;
use crate::cli::problems::{self, Severity};
use crate::plan::spec::{AppKind, AppSpec, Plan};
use crate::runtime::Started;
use std::path::Path;

/// What a person at a terminal wants to know: where, what, and how to go on.
pub(super) fn announce(args: &ServeArgs, config: &str, log: Option<&Path>, started: &Started) {
    if !started.plan.warnings.is_empty() {
        output::message(&problems::render(&started.plan.warnings, Severity::Warning));
    }
    if args.is_quiet() {
        return;
    }
    let mut lines = vec![
        format!("paster {} serves {}", env!("CARGO_PKG_VERSION"), config),
        String::new(),
    ];
    for url in &started.urls {
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
            AppKind::Static(_) => "served by the proxy".to_owned(),
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
            AppKind::Static(_) => "files".to_owned(),
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
    let config = shell_word(config);
    let run_dir = args.run_dir.as_deref().map_or_else(String::new, |dir| {
        format!(" --run-dir {}", shell_word(&dir.to_string_lossy()))
    });
    lines.push("  in another terminal:".to_owned());
    lines.push(format!("    paster status {config}{run_dir}"));
    lines.push(format!("    paster restart {config}{run_dir} APP"));
    if args.daemon
        || args
            .vars
            .first()
            .is_some_and(|word| word == "start" || word == "restart")
    {
        lines.push(format!("    paster stop {config}{run_dir}"));
    } else {
        lines.push("  Ctrl-C stops (again: at once)".to_owned());
    }
    if args.reload {
        lines.push("  files are watched: what you edit is served at once".to_owned());
    }
    if let Some(log) = log {
        lines.push(format!("  log: {}", log.display()));
    }
    lines.push(String::new());
    output::message(&lines.join("\n"));
}

/// As it has to be typed in a shell.
pub(super) fn shell_word(text: &str) -> String {
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
}

/// As root, apps without a `user` are root too.
fn root_note(plan: &Plan) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let is_root = |app: &&AppSpec| app.settings.user.is_none() && app.kind.has_workers();
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
