//! curl: a client that we have not written.

use std::process::Command;

/// What curl says.
#[derive(Debug)]
pub(crate) struct Answer {
    /// curl's own exit status; 0: there was an answer.
    pub(crate) exit: Option<i32>,
    /// Status line and fields, of all answers.
    pub(crate) head: String,
    pub(crate) body: String,
    pub(crate) errors: String,
}

impl Answer {
    /// `HTTP/2 200`.
    pub(crate) fn status_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default().trim()
    }

    #[track_caller]
    pub(crate) fn succeeded(self) -> Answer {
        assert_eq!(self.exit, Some(0), "{self:?}");
        self
    }
}

/// Runs `curl ARGUMENTS`. Without the environment's proxies and configuration.
pub(crate) fn curl(arguments: &[&str]) -> Answer {
    let heads = tempfile::NamedTempFile::new().expect("a temporary file");
    let output = Command::new("curl")
        .args(["--disable", "--silent", "--show-error", "--noproxy", "*"])
        .args(["--max-time", "60", "--dump-header"])
        .arg(heads.path())
        .args(arguments)
        .output()
        .expect("curl is installed");
    Answer {
        exit: output.status.code(),
        head: std::fs::read_to_string(heads.path()).expect("our own file"),
        body: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
