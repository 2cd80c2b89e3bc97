//! What paster was started with. Plain data: when paster replaces itself, it hands this over.

use super::sockets::STORE_PREFIX;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Variables that are meant for paster's own process and for nothing that it starts.
pub const VARIABLES: [&str; 7] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "FDSTORE",
];

/// The name of a passed socket that was given none (`sd_listen_fds_with_names(3)`).
const NAMELESS: &str = "unknown";
/// More passed descriptors than this are a slip of somebody's pen.
const MOST_SOCKETS: usize = 1024;

/// What whoever started us said by variables and options; it stays the same for the life of the service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inherited {
    /// Where notices go: a path, or `@name` in the abstract namespace (`sd_notify(3)`).
    pub notify_socket: Option<String>,
    /// A sign of life is expected at least this often (`sd_watchdog_enabled(3)`).
    pub watchdog: Option<Duration>,
    /// Names of the descriptors that were passed, from number 3 on (`sd_listen_fds(3)`).
    pub sockets: Vec<String>,
    /// Holds our pid; absolute.
    pub pid_file: Option<PathBuf>,
    /// Standard output and standard error go there; absolute.
    pub log_file: Option<PathBuf>,
}

impl Inherited {
    /// Reads the variables of the service protocol. `pid` is our own: what names another process is not for us.
    pub fn read(variable: impl Fn(&str) -> Option<String>, pid: u32) -> Inherited {
        let filled = |name: &str| variable(name).filter(|value| !value.is_empty());
        let number = |name: &str| filled(name)?.parse::<u64>().ok();
        let for_us = |name: &str| number(name).is_none_or(|named| named == u64::from(pid));
        let sockets = match number("LISTEN_FDS") {
            // LISTEN_PID is obligatory.
            Some(count) if number("LISTEN_PID") == Some(u64::from(pid)) => {
                let count = usize::try_from(count)
                    .unwrap_or(MOST_SOCKETS)
                    .min(MOST_SOCKETS);
                names(&filled("LISTEN_FDNAMES").unwrap_or_default(), count)
            }
            _ => Vec::new(),
        };
        Inherited {
            notify_socket: filled("NOTIFY_SOCKET")
                .filter(|address| address.starts_with(['/', '@'])),
            watchdog: number("WATCHDOG_USEC")
                .filter(|micros| *micros > 0 && for_us("WATCHDOG_PID"))
                .map(Duration::from_micros),
            sockets,
            pid_file: None,
            log_file: None,
        }
    }

    /// Names of the sockets that somebody else has made for us.
    pub fn passed_names(&self) -> Vec<String> {
        let names = self.sockets.iter();
        names
            .filter(|name| !name.starts_with(STORE_PREFIX))
            .cloned()
            .collect()
    }
}

/// Names of `count` descriptors; missing ones are filled up.
fn names(text: &str, count: usize) -> Vec<String> {
    let given = text.split(':').filter(|_| !text.is_empty());
    given
        .map(|name| if name.is_empty() { NAMELESS } else { name })
        .chain(std::iter::repeat(NAMELESS))
        .take(count)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Inherited {
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Inherited::read(variable, 100)
    }

    #[test]
    fn without_variables_there_is_nothing() {
        assert_eq!(read(&[]), Inherited::default());
    }

    #[test]
    fn sockets_are_for_the_process_that_is_named() {
        let passed = [
            ("LISTEN_FDS", "3"),
            ("LISTEN_PID", "100"),
            ("LISTEN_FDNAMES", "http:"),
        ];
        assert_eq!(read(&passed).sockets, ["http", "unknown", "unknown"]);
        assert!(read(&passed[..1]).sockets.is_empty());
        assert!(
            read(&[("LISTEN_FDS", "1"), ("LISTEN_PID", "99")])
                .sockets
                .is_empty()
        );
    }

    #[test]
    fn a_watchdog_without_a_pid_is_for_us() {
        let half_a_second = Some(Duration::from_millis(500));
        assert_eq!(read(&[("WATCHDOG_USEC", "500000")]).watchdog, half_a_second);
        let for_us = [("WATCHDOG_USEC", "500000"), ("WATCHDOG_PID", "100")];
        assert_eq!(read(&for_us).watchdog, half_a_second);
        let for_another = [("WATCHDOG_USEC", "500000"), ("WATCHDOG_PID", "7")];
        assert_eq!(read(&for_another).watchdog, None);
        assert_eq!(read(&[("WATCHDOG_USEC", "0")]).watchdog, None);
    }

    #[test]
    fn only_unix_sockets_are_notified() {
        let address = |text| read(&[("NOTIFY_SOCKET", text)]).notify_socket;
        assert_eq!(address("/run/n").as_deref(), Some("/run/n"));
        assert_eq!(address("@n").as_deref(), Some("@n"));
        assert_eq!(address("vsock:2:1"), None);
        assert_eq!(address(""), None);
    }
}
