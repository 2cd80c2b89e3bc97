//! One report, as it is written to its file and printed by `paster crashes --json`. Fields are only ever added.
//!
//! No query strings, no header fields, no bodies: only the path of a request is in here. What an app printed is its own
//! affair.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// Version of [`CrashReport`].
pub const SCHEMA_VERSION: u32 = 1;

/// Longest path of a request that is kept; what is longer is cut and ends with an ellipsis.
pub const MAX_PATH: usize = 1024;
/// Requests, steps and lines of output of one report; what is more is counted or was lost before.
pub const MAX_REQUESTS: usize = 32;
pub const MAX_STEPS: usize = 32;
pub const MAX_LINES: usize = 100;
/// Longest line of output, in bytes.
const MAX_LINE: usize = 1024;
/// Longest method and id of a request.
const MAX_WORD: usize = 200;
/// Later deaths of the same kind that are named one by one; all are counted.
pub const MAX_REPEATS: usize = 20;

/// All that is known of one death (or of several in a row that were the same).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrashReport {
    pub schema_version: u32,
    /// Eight hexadecimal digits, as named in the log and by `paster status`.
    pub id: String,
    /// RFC 3339, UTC.
    pub time: String,
    pub app: String,
    pub slot: u32,
    pub generation: u64,
    /// None if no program was executed.
    pub pid: Option<u32>,
    pub kind: Kind,
    /// The whole story in a sentence.
    pub what: String,
    pub exit: ExitFacts,
    /// Why paster ended it, if it did.
    pub why: Option<String>,
    /// What was decided about the next start.
    pub decision: String,
    pub uptime_s: f64,
    /// The largest resident set of the worker or of a child that it had waited for.
    pub max_rss_bytes: Option<u64>,
    pub cpu_user_s: Option<f64>,
    pub cpu_system_s: Option<f64>,
    /// Processes that the kernel killed for lack of memory, anywhere on the machine, while this worker ran; told for a
    /// worker that was killed by a SIGKILL that was not ours.
    pub oom_kills: Option<u64>,
    /// In flight at the death.
    pub requests: Vec<RequestFacts>,
    pub requests_omitted: u64,
    /// Requests that are refused for a while because of this death.
    pub refused: Vec<RefusedRequest>,
    pub steps: Vec<Step>,
    pub steps_omitted: u64,
    /// The last lines, oldest first.
    pub output: Vec<OutputLine>,
    /// Deaths in a row that this report is about.
    pub count: u64,
    /// The last of the others, oldest first.
    pub repeats: Vec<Repeat>,
    /// Of paster.
    pub version: String,
}

/// What kind of death it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It exited.
    Exit,
    /// A signal killed it.
    Signal,
    /// The kernel killed it, because its app was over its memory limit.
    OverMemory,
    /// It could not be executed.
    StartFailure,
    /// It was not ready in time and was killed.
    StartTimeout,
    /// It did not answer, or missed its watchdog, and was ended.
    Hang,
    /// Its keeper was lost, and it with it.
    KeeperLost,
}

/// How the process ended; all empty if nobody knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitFacts {
    pub status: Option<i32>,
    pub signal: Option<i32>,
    pub signal_name: Option<String>,
    pub core_dumped: bool,
}

/// A request that had no complete answer when its worker died.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestFacts {
    pub method: String,
    /// Without the query.
    pub path: String,
    /// X-Request-Id.
    pub id: Option<String>,
    pub age_s: f64,
    pub progress: Progress,
}

/// How far a request was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// No answer yet.
    Waiting,
    /// Its answer had begun.
    Answering,
    /// It was over its time: its client had got 504.
    TimedOut,
}

/// A request that was in flight at several deaths in a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefusedRequest {
    pub method: String,
    pub path: String,
    pub deaths: u32,
    /// For how long it gets 503.
    pub refused_s: f64,
}

/// Something that happened in the life of the worker, and when after it was ordered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub at_s: f64,
    pub what: String,
}

/// Where a line was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputStream {
    Stdout,
    Stderr,
}

/// A line that the worker printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputLine {
    pub stream: OutputStream,
    pub text: String,
}

/// A later death that was the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    pub id: String,
    pub time: String,
    pub pid: Option<u32>,
    pub uptime_s: f64,
}

impl CrashReport {
    /// Whether `id` is this report's, or that of a death that was counted to it.
    pub fn is_called(&self, id: &str) -> bool {
        self.id == id || self.repeats.iter().any(|repeat| repeat.id == id)
    }
}

impl RequestFacts {
    /// With all words cut to what is kept: they come from clients.
    pub fn new(
        method: &str,
        path: &str,
        id: Option<&str>,
        age: Duration,
        progress: Progress,
    ) -> RequestFacts {
        RequestFacts {
            method: clean(method, MAX_WORD),
            path: clean(path, MAX_PATH),
            id: id.map(|id| clean(id, MAX_WORD)),
            age_s: seconds(age),
            progress,
        }
    }
}

impl OutputLine {
    pub fn new(stream: OutputStream, text: &str) -> OutputLine {
        let text = clean(text, MAX_LINE);
        OutputLine { stream, text }
    }
}

/// At most `most` bytes of `text`, with an ellipsis where something was cut; control characters but for tabs are
/// replaced, so that nothing in a report can act on a terminal.
pub fn clean(text: &str, most: usize) -> String {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let kept = &text[..end];
    let mut clean: String = kept
        .chars()
        .map(|c| match c {
            c if c.is_control() && c != '\t' => '\u{fffd}',
            c => c,
        })
        .collect();
    if kept.len() < text.len() {
        clean.push('…');
    }
    clean
}

/// RFC 3339 with milliseconds, UTC.
pub fn timestamp(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A new name for a report.
pub fn new_id() -> String {
    format!("{:08x}", fastrand::u32(..))
}

/// To the millisecond.
pub fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A segmentation fault of `app` with this id.
    pub(crate) fn report(app: &str, id: &str) -> CrashReport {
        CrashReport {
            schema_version: SCHEMA_VERSION,
            id: id.to_owned(),
            time: "2025-06-01T12:00:00.000Z".to_owned(),
            app: app.to_owned(),
            slot: 0,
            generation: 1,
            pid: Some(4120),
            kind: Kind::Signal,
            what: format!(
                "worker 0 of {app} (pid 4120), generation 1, was killed by signal 11 (SIGSEGV)"
            ),
            exit: ExitFacts {
                status: None,
                signal: Some(11),
                signal_name: Some("SIGSEGV".to_owned()),
                core_dumped: false,
            },
            why: None,
            decision: "next start in 104ms".to_owned(),
            uptime_s: 2.7,
            max_rss_bytes: Some(24_000_000),
            cpu_user_s: Some(0.1),
            cpu_system_s: Some(0.02),
            oom_kills: None,
            requests: vec![RequestFacts::new(
                "GET",
                "/boom",
                Some("abc"),
                Duration::from_millis(3),
                Progress::Waiting,
            )],
            requests_omitted: 0,
            refused: vec![],
            steps: vec![Step {
                at_s: 0.012,
                what: "spawned (pid 4120)".to_owned(),
            }],
            steps_omitted: 0,
            output: vec![OutputLine::new(
                OutputStream::Stderr,
                "Current thread 0x00007f12ab (most recent call first):",
            )],
            count: 1,
            repeats: vec![],
            version: "0.1.0".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_clients_are_cut_and_harmless() {
        let facts = RequestFacts::new(
            "GET",
            &format!("/{}", "é".repeat(MAX_PATH)),
            Some("a\u{1b}[2Jb"),
            Duration::from_micros(1_234_567),
            Progress::Waiting,
        );
        assert!(facts.path.ends_with('…') && facts.path.len() <= MAX_PATH + '…'.len_utf8());
        assert_eq!(facts.id.as_deref(), Some("a\u{fffd}[2Jb"));
        assert_eq!(facts.age_s, 1.235);
        assert_eq!(clean("exact", 5), "exact");
    }

    #[test]
    fn times_are_rfc_3339() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_748_779_200_123);
        assert_eq!(timestamp(time), "2025-06-01T12:00:00.123Z");
    }

    #[test]
    fn ids_are_eight_hexadecimal_digits() {
        let id = new_id();
        assert!(
            id.len() == 8 && id.bytes().all(|b| b.is_ascii_hexdigit()),
            "{id}"
        );
    }

    #[test]
    fn a_report_is_called_by_the_ids_of_its_repeats_too() {
        let mut report = testing::report("blog", "0a0a0a0a");
        report.repeats.push(Repeat {
            id: "0b0b0b0b".to_owned(),
            time: String::new(),
            pid: None,
            uptime_s: 0.0,
        });
        assert!(report.is_called("0a0a0a0a") && report.is_called("0b0b0b0b"));
        assert!(!report.is_called("0c0c0c0c"));
    }
}
