//! `paster crashes`: the reports that are kept, whether paster runs or not.

use super::args::CrashesArgs;
use super::check::json;
use super::exit::Exit;
use super::problems::printable;
use super::{crash_report, outcome, output, remote, site};
use crate::control::client::{self, ControlError};
use crate::control::protocol::{Answer, Command};
use crate::reports::store::{Listing, Store};
use crate::sys::statedir;
use std::path::PathBuf;
use std::time::Duration;

/// How long a paster that hangs may keep anyone from its reports.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &CrashesArgs) -> Exit {
    let store = Store::new(&state_dir(args));
    let mut listing = match store.list(&args.apps) {
        Ok(listing) => listing,
        Err(error) => {
            let message = format!(
                "cannot read the reports in {}: {error}",
                store.dir().display()
            );
            return outcome::unreadable(&message, &error, args.json);
        }
    };
    for (path, error) in &listing.damaged {
        let path = path.display();
        output::message(&format!(
            "warning: {path} is no report that can be read: {error}"
        ));
    }
    if let Some(id) = &args.id {
        listing.reports.retain(|report| report.is_called(id));
        if listing.reports.is_empty() {
            let message = format!("there is no report `{id}` in {}", store.dir().display());
            let hint = "only the last ones of each app are kept (`keep_reports`)";
            return outcome::not_found(&message, hint, args.json);
        }
    }
    let superfluous = args
        .last
        .map_or(0, |last| listing.reports.len().saturating_sub(last));
    listing.reports.drain(..superfluous);
    show(args, &store, &listing);
    Exit::Ok
}

fn show(args: &CrashesArgs, store: &Store, listing: &Listing) {
    if args.json {
        output::answer(&json(&listing.reports));
    } else if listing.reports.is_empty() {
        let whose = match args.apps.as_slice() {
            [] => String::new(),
            apps => format!(" of {}", printable(&apps.join(", "))),
        };
        let dir = store.dir().display();
        output::message(&format!("no crash reports{whose} in {dir}"));
    } else {
        let rendered: Vec<String> = listing.reports.iter().map(crash_report::render).collect();
        output::answer(&rendered.join("\n\n"));
    }
}

/// As given; else where the running paster says; else where one that is started now would keep them.
fn state_dir(args: &CrashesArgs) -> PathBuf {
    if let Some(dir) = &args.state_dir {
        return dir.clone();
    }
    let socket = remote::socket(&args.site);
    let status = remote::block_on(&socket, async {
        let asked = tokio::time::timeout(PATIENCE, client::call(&socket, &Command::Status));
        asked.await.unwrap_or(Err(ControlError::Lost))
    });
    match status {
        Ok(Answer::Status(status)) if !status.state_dir.is_empty() => {
            PathBuf::from(status.state_dir)
        }
        _ => statedir::locate(&site::config_path(&args.site.config), None, None),
    }
}
