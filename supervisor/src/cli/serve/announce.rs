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
        format!("paster {} serves {config}", env!("CARGO_PKG_VERSION")),
        String::new(),
    ];
    let urls = started.urls.iter();
    lines.extend(urls.map(|url| format!("  listening on  {url}")));
    lines.push(String::new());
    lines.extend(apps(started.plan));
    if let Some(note) = root_note(started.plan) {
        lines.push(String::new());
        lines.push(note);
    }
    lines.push(String::new());
    lines.extend(how_to_go_on(args, config, log));
    lines.push(String::new());
    output::message(&lines.join("\n"));
}

/// A line for each app: where, what, how many processes.
fn apps(plan: &Plan) -> Vec<String> {
    let apps = plan.apps.values();
    let mounts: Vec<String> = apps.clone().map(|app| app.mounts.join(" ")).collect();
    let mount_width = mounts.iter().map(String::len).max().unwrap_or(0);
    let name_width = plan.apps.keys().map(String::len).max().unwrap_or(0);
    apps.zip(&mounts)
        .map(|(app, mount)| {
            let (name, what) = (&app.name, what_runs(app));
            format!("  {mount:mount_width$}  {name:name_width$}  {what}")
        })
        .collect()
}

fn what_runs(app: &AppSpec) -> String {
    let kind = match &app.kind {
        AppKind::Python { .. } => "python".to_owned(),
        AppKind::Exec { argv, .. } => program_name(argv),
        AppKind::Upstream { .. } => return "upstream, runs elsewhere".to_owned(),
        AppKind::Static(_) => return "files, served by the proxy".to_owned(),
    };
    let processes = plural(app.settings.processes, "process", "processes");
    let threads = plural(app.settings.threads, "thread", "threads");
    format!("{kind}, {processes} × {threads}")
}

fn how_to_go_on(args: &ServeArgs, config: &str, log: Option<&Path>) -> Vec<String> {
    let run_dir = args.run_dir.as_deref().map_or_else(String::new, |dir| {
        format!(" --run-dir {}", shell_word(&dir.to_string_lossy()))
    });
    let site = shell_word(config) + &run_dir;
    let mut lines = vec![
        "  in another terminal:".to_owned(),
        format!("    paster status {site}"),
        format!("    paster restart {site} APP"),
    ];
    let word = args.vars.first().map(String::as_str);
    lines.push(
        match args.daemon || matches!(word, Some("start" | "restart")) {
            true => format!("    paster stop {site}"),
            false => "  Ctrl-C stops (again: at once)".to_owned(),
        },
    );
    if args.reload {
        lines.push("  files are watched: what you edit is served at once".to_owned());
    }
    lines.extend(log.map(|log| format!("  log: {}", log.display())));
    lines
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
