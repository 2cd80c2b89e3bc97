//! Files that lines are written to: are their directories there, and may the proxy write its own?

use super::Builder;
use crate::config::problem::{Place, Problem};
use crate::plan::proxy_rights;
use crate::plan::settings::{Policy, Sheet};
use crate::plan::spec::LogTo;
use crate::router::access_log::{AccessLog, Rotation};
use std::path::Path;

impl Builder<'_> {
    /// Warns of an access log that could not be written; what is missing may still be made before the start.
    pub(super) fn look_at_access_log(&mut self, sheet: &Sheet) {
        let AccessLog::File { path, rotation, .. } = sheet.access_log() else {
            return;
        };
        let Some(directory) = path.parent() else {
            return;
        };
        let place = sheet.site_place("access_log");
        self.look_for_directory(directory, "access_log", place);
        let told = if let Err(why) = proxy_rights::reaches(directory, self.accounts) {
            Some((
                format!("requests will not be logged: {why}"),
                "let others search it, or have the log in another directory, such as /var/log",
            ))
        } else if rotation == Rotation::NEVER {
            None
        } else if let Err(why) = proxy_rights::may_change(directory, self.accounts) {
            Some((
                format!("the access log will grow and not be put aside: {why}"),
                "have the log in a directory that belongs to `nobody`, or let `logrotate` put it aside and send SIGUSR1",
            ))
        } else {
            None
        };
        if let Some((message, hint)) = told {
            self.warn_at(place, message, hint);
        }
    }

    /// Warns of a log file of an app that could not be made.
    pub(super) fn look_at_log_file(&mut self, app: &str, policy: &Policy) {
        let LogTo::File(template) = &policy.settings.log.to else {
            return;
        };
        for stream in ["stdout", "stderr"] {
            if let Some(directory) = template.path(app, stream).parent() {
                self.look_for_directory(directory, "log_file", policy.places.get("log_file"));
            }
        }
    }

    fn look_for_directory(&mut self, directory: &Path, key: &str, place: Option<&Place>) {
        if !directory.is_dir() {
            let message = format!("there is no directory {} for `{key}`", directory.display());
            self.warn_at(
                place,
                message,
                "make it before the start, or correct the path",
            );
        }
    }

    pub(super) fn warn_at(&mut self, place: Option<&Place>, message: String, hint: &str) {
        let warning = Problem::new("Warning", message).hint(hint);
        self.warnings.push(match place {
            Some(place) => warning.at(&place.file, place.line),
            None => warning,
        });
    }
}
