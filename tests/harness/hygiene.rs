//! What must be true when a test has ended, whatever it was about.

use super::log;
use super::process;
use super::site::Site;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Everything of paster is gone by then after its own end, SIGKILL included.
pub(crate) const GONE_WITHIN: Duration = Duration::from_secs(2);

/// Log lines that a test has announced.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) must: Vec<String>,
    pub(crate) may: Vec<String>,
}

/// Complaints that nobody announced, and announced ones that did not come.
pub(crate) fn judge_log(expected: &Expected, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for line in log::complaints(text) {
        let announced = expected
            .must
            .iter()
            .chain(&expected.may)
            .any(|part| line.contains(part.as_str()));
        if !announced {
            findings.push(format!("an unannounced line in the log: {line}"));
        }
    }
    for part in &expected.must {
        if !text.contains(part.as_str()) {
            findings.push(format!("the log should say `{part}`"));
        }
    }
    findings
}

/// Processes and files that are left after paster's end.
pub(crate) fn leftovers(site: &Site, killed: Killed) -> Vec<String> {
    let mut findings = Vec::new();
    let gone = super::poll(GONE_WITHIN, || {
        process::mentioning(site.dir()).is_empty().then_some(())
    });
    if gone.is_err() {
        for (pid, arguments) in process::mentioning(site.dir()) {
            findings.push(format!("process {pid} is left: {arguments}"));
            process::sigkill(pid);
        }
    }
    // A killed supervisor cannot tidy up; the next one does.
    if killed == Killed::No {
        files(&site.run_dir(), &mut findings);
    }
    findings
}

/// Whether the test ended paster by SIGKILL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Killed {
    Yes,
    No,
}

fn files(dir: &Path, findings: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    findings.extend(
        entries
            .flatten()
            .map(|entry| format!("{} is left", entry.path().display())),
    );
}
