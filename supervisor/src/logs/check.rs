//! Whether log files can be written, before anything is touched.

use super::file;
use super::source::Stream;
use crate::plan::spec::{LogTo, Plan};
use std::io;
use std::path::Path;

/// Makes sure that the log files of a plan can be written.
///
/// # Errors
/// The first that cannot be, in words.
pub fn check(plan: &Plan) -> Result<(), String> {
    for app in plan.apps.values() {
        let LogTo::File(template) = &app.settings.log.to else {
            continue;
        };
        for stream in Stream::BOTH {
            let path = template.path(&app.name, stream.name());
            if let Err(error) = file::create(&path) {
                return Err(cannot_open(&path, &error));
            }
        }
    }
    Ok(())
}

fn cannot_open(path: &Path, error: &io::Error) -> String {
    let text = format!("cannot open the log file {}: {error}", path.display());
    match path.parent() {
        Some(directory) if !directory.exists() => {
            format!("{text}; create the directory {}", directory.display())
        }
        _ => text,
    }
}
