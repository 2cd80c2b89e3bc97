//! What was typed; checked alone, resolved nowhere.

use crate::control::protocol::WaitFor;
use crate::plan::units;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

/// Serve the applications of a Paste Deploy file, each in processes of its own.
#[derive(Debug, Parser)]
#[command(name = "paster", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a configuration
    Serve(ServeArgs),
    /// Show what runs
    Status(StatusArgs),
    /// Replace the workers of apps by new ones, without losing a request
    Restart(AppsArgs),
    /// Read the configuration again and apply what has changed
    Reload(StatusArgs),
    /// Stop apps, or (without APP) paster itself
    Stop(AppsArgs),
    /// Start apps that were stopped
    Start(AppsArgs),
    /// Let this version of paster (or another program) take over a running one, with everything that runs
    Upgrade(UpgradeArgs),
    /// Run more workers of an app, or fewer
    Scale(ScaleArgs),
    /// Answer the clients of an app with 503 while its workers live on, or let them in again
    Maintenance(MaintenanceArgs),
    /// Wait until apps are ready, or in another state
    Wait(WaitArgs),
    /// Show what has happened
    Events(EventsArgs),
    /// Show how workers died: crash reports, the newest last
    Crashes(CrashesArgs),
    /// Show what came of requests: answers, errors, bytes, times
    Stats(StatsArgs),
    /// Show what apps and workers use, each second anew
    Top(TopArgs),
    /// Show what apps have printed
    Logs(LogsArgs),
    /// Check a configuration: listeners, routes, apps, settings, warnings
    Check(CheckArgs),
    /// Print the route table, or which app gets a URL
    Routes(RoutesArgs),
    /// Print what an object of a configuration resolves to, as JSON
    Resolve(ResolveArgs),
    /// Answer a worker that asks for a member of a composite (JSON on standard input)
    #[command(hide = true)]
    Member,
}

#[derive(Debug, Args)]
pub(crate) struct ResolveArgs {
    /// A path, or a URI: config:PATH#NAME, egg:DIST#NAME, call:MODULE:ATTR
    pub(crate) config: String,
    /// Global configuration
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) vars: Vec<String>,
    /// Name of the object [default: the URI's fragment, else main]
    #[arg(short = 'n', long)]
    pub(crate) name: Option<String>,
    /// Kind of the object
    #[arg(short = 'k', long, value_enum, default_value_t = Kind::App)]
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    App,
    Filter,
    Server,
}

/// What every command that reads a whole configuration takes.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The INI file (or any URI that Paste Deploy takes)
    pub(crate) config: String,
    /// Global configuration
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) vars: Vec<String>,
    /// Name of the app to serve [default: main]
    #[arg(short = 'n', long)]
    pub(crate) app_name: Option<String>,
    /// Name of the server section [default: main]
    #[arg(long)]
    pub(crate) server_name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RoutesArgs {
    /// The INI file
    pub(crate) config: String,
    /// URLs to look up, e.g. http://localhost/blog/1 or /blog/1
    pub(crate) urls: Vec<String>,
    /// Name of the app that is served [default: main]
    #[arg(short = 'n', long)]
    pub(crate) app_name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    infer_long_args = true,
    override_usage = "paster serve [OPTIONS] CONFIG [start|stop|restart|status] [KEY=VALUE]..."
)]
pub(crate) struct ServeArgs {
    /// The INI file (or any URI that Paste Deploy takes)
    #[arg(required_unless_present = "stop_daemon")]
    pub(crate) config: Option<String>,
    /// Global configuration; the first may be start (as --daemon), stop, restart or status
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) vars: Vec<String>,
    /// Name of the app to serve [default: main]
    #[arg(short = 'n', long)]
    pub(crate) app_name: Option<String>,
    /// Name of the server section [default: main]
    #[arg(long, value_name = "SECTION")]
    pub(crate) server_name: Option<String>,
    /// Listen where this server of egg:PasteScript would, whatever `[server:main]` says
    #[arg(short = 's', long, value_name = "TYPE", conflicts_with = "server_name")]
    pub(crate) server: Option<String>,
    /// Give every app processes of its own [default: one group of processes for all]
    #[arg(long)]
    pub(crate) isolate: bool,
    /// Listen here instead of where the file says: `HOST:PORT`, `[IPV6]:PORT`, `*:PORT`, `unix:PATH`, or `fd:NAME` for
    /// a socket that systemd passes (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Vec<String>,
    /// Directory for sockets [default: by the configuration's path, in $XDG_RUNTIME_DIR or /run]
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: Option<PathBuf>,
    /// Directory for what survives a restart: crash reports [default: $STATE_DIRECTORY, or by the
    /// configuration's path in $XDG_STATE_HOME or /var/lib]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Serve in the background; returns when all apps have started
    #[arg(long)]
    pub(crate) daemon: bool,
    /// Write the pid there [default with --daemon: paster.pid]
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Append all output there [default with --daemon: paster.log]
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// Watch the INI files and the files of the apps; what changes is served at once, by new workers of that app alone
    #[arg(long)]
    pub(crate) reload: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    pub(crate) reload_interval: Duration,
    /// Start paster again when it dies
    #[arg(long)]
    pub(crate) monitor_restart: bool,
    /// Become this user, by name or number, when the addresses are bound; needs root
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// The same with a group
    #[arg(long)]
    pub(crate) group: Option<String>,
    /// Say more in paster's own log: -v as PASTER_LOG=debug, -vv as PASTER_LOG=trace
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say less, and nothing about a start that goes well: -q as PASTER_LOG=warn, -qq as PASTER_LOG=error
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) quiet: u8,
    /// Tell whether the configuration is served
    #[arg(long, conflicts_with = "stop_daemon")]
    pub(crate) status: bool,
    /// Stop the paster that serves the configuration or, without CONFIG, has written the pid file
    #[arg(long)]
    pub(crate) stop_daemon: bool,
}

impl ServeArgs {
    /// What paster's own log shows; none where the environment may say it. Each `-q` takes back a `-v`, as in the original.
    pub(crate) fn log_level(&self) -> Option<LevelFilter> {
        match i16::from(self.verbose) - i16::from(self.quiet) {
            ..=-2 => Some(LevelFilter::ERROR),
            -1 => Some(LevelFilter::WARN),
            0 => None,
            1 => Some(LevelFilter::DEBUG),
            2.. => Some(LevelFilter::TRACE),
        }
    }

    /// Nothing is said but what somebody should know.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet > self.verbose
    }
}

/// Seconds, as the original takes them.
fn interval(text: &str) -> Result<Duration, String> {
    let seconds = text.trim().parse::<f64>().ok();
    let fits = |seconds: &f64| (0.01..=3600.0).contains(seconds);
    let seconds = seconds.filter(fits);
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected seconds from 0.01 to 3600, such as 0.5".to_owned())
}

/// A running site: the CONFIG that `paster serve` was given.
#[derive(Debug, Args)]
pub(crate) struct SiteArgs {
    /// The configuration that is served
    pub(crate) config: String,
    /// The directory given to `paster serve`, if one was
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) site: SiteArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    pub(crate) site: SiteArgs,
    /// Of these apps [default: all]
    #[arg(value_name = "APP")]
    pub(crate) apps: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) site: SiteArgs,
    /// Print one table and leave, as where no terminal is
    #[arg(long)]
    pub(crate) once: bool,
    /// Print JSON, once
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CrashesArgs {
    #[command(flatten)]
    pub(crate) site: SiteArgs,
    /// Names of apps [default: all]
    #[arg(value_name = "APP")]
    pub(crate) apps: Vec<String>,
    /// Only the last N reports
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) last: Option<usize>,
    /// Only the report of this name
    #[arg(long, value_name = "ID", conflicts_with_all = ["apps", "last"])]
    pub(crate) id: Option<String>,
    /// The directory given to `paster serve`, if one was
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AppsArgs {
    #[command(flatten)]
    pub(crate) site: SiteArgs,
    /// Names of apps [default: all]
    #[arg(value_name = "APP")]
    pub(crate) apps: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpgradeArgs {
    #[command(flatten)]
    pub(crate) site: SiteArgs,
    /// The program that takes over [default: this one]
    #[arg(long, value_name = "PATH")]
    pub(crate) program: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) site: SiteArgs,
    /// Only lines of these apps [default: all]
    #[arg(value_name = "APP")]
    pub(crate) apps: Vec<String>,
    /// Go on with new lines until paster ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub(crate) lines: usize,
    /// Only lines of the last, e.g., 10m
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) since: Option<Duration>,
    /// Print each line as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) site: SiteArgs,
    /// Only events of these apps [default: all, and those of the site]
    #[arg(value_name = "APP")]
    pub(crate) apps: Vec<String>,
    /// Go on with new events until paster ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last so many [default: all that are kept; with --follow 10]
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) lines: Option<usize>,
    /// Only events of the last, e.g., 10m
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) since: Option<Duration>,
    /// Print each event as JSON on a line of its own
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    #[command(flatten)]
    pub(crate) site: SiteArgs,
    /// APP N, or APP=N for several
    #[arg(value_name = "APP=N", required = true)]
    pub(crate) wanted: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MaintenanceArgs {
    #[command(flatten)]
    pub(crate) site: SiteArgs,
    /// Name of the app
    pub(crate) app: String,
    /// `on`: clients get 503; `off`: they are served
    #[arg(value_enum)]
    pub(crate) state: Switch,
    /// What clients are told, where there is no page for it (`error_pages`)
    #[arg(long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    pub(crate) site: SiteArgs,
    /// Names of apps [default: all; with --for stopped, paster itself]
    #[arg(value_name = "APP")]
    pub(crate) apps: Vec<String>,
    /// The state that is waited for
    #[arg(long = "for", value_name = "STATE", value_enum, default_value_t = WaitState::Ready)]
    pub(crate) state: WaitState,
    /// Give up after this time
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = units::duration)]
    pub(crate) timeout: Duration,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WaitState {
    Ready,
    Stopped,
    Idle,
    Failed,
}

impl From<WaitState> for WaitFor {
    fn from(state: WaitState) -> WaitFor {
        match state {
            WaitState::Ready => WaitFor::Ready,
            WaitState::Stopped => WaitFor::Stopped,
            WaitState::Idle => WaitFor::Idle,
            WaitState::Failed => WaitFor::Failed,
        }
    }
}
