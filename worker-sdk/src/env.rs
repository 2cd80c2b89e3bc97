//! What the supervisor says in the environment: pure reading of variables, nothing is taken over here.

use crate::error::Error;
use std::ffi::OsString;
use std::os::fd::RawFd;
use std::time::Duration;

/// The first descriptor that is passed (`SD_LISTEN_FDS_START`).
const FIRST_FD: RawFd = 3;
/// Name that paster gives to the socket for requests.
const SOCKET_NAME: &str = "http";

/// The variables of the worker contract, read once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Environment {
    /// The listening socket.
    pub(crate) socket: Option<RawFd>,
    /// Other sockets that were passed to this process.
    pub(crate) other_sockets: Vec<RawFd>,
    pub(crate) config: Option<RawFd>,
    pub(crate) notify: Option<OsString>,
    /// How often the supervisor wants to hear of the worker.
    pub(crate) watchdog: Option<Duration>,
}

impl Environment {
    /// `pid` is this process: sockets and watchdog that are meant for another one (variables that a parent left in the
    /// environment) are none of ours, as sd_listen_fds(3) and sd_watchdog_enabled(3) say.
    pub(crate) fn read(
        variable: impl Fn(&str) -> Option<OsString>,
        pid: u32,
    ) -> Result<Environment, Error> {
        let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
        let number = |name: &'static str, expected: &'static str| match text(name) {
            None => Ok(None),
            Some(value) => match value.parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(Error::Variable {
                    variable: name,
                    value,
                    expected,
                }),
            },
        };

        let mut sockets = Vec::new();
        if number("LISTEN_PID", "the number of a process")? == Some(u64::from(pid)) {
            let count = number("LISTEN_FDS", "a number of descriptors")?.unwrap_or(0);
            let count = i32::try_from(count)
                .ok()
                .filter(|count| *count <= i32::MAX - FIRST_FD);
            let count = count.ok_or_else(|| Error::Variable {
                variable: "LISTEN_FDS",
                value: text("LISTEN_FDS").unwrap_or_default(),
                expected: "a number of descriptors",
            })?;
            sockets.extend(FIRST_FD..FIRST_FD + count);
        }
        let names = text("LISTEN_FDNAMES").unwrap_or_default();
        let named = names
            .split(':')
            .position(|name| name == SOCKET_NAME)
            .filter(|index| *index < sockets.len());
        let socket = (!sockets.is_empty()).then(|| sockets.remove(named.unwrap_or(0)));

        let config = match number("PASTE_CONFIG_FD", "the number of a descriptor")? {
            None => None,
            Some(fd) => Some(RawFd::try_from(fd).map_err(|_| Error::Variable {
                variable: "PASTE_CONFIG_FD",
                value: fd.to_string(),
                expected: "the number of a descriptor",
            })?),
        };

        let watched = number("WATCHDOG_PID", "the number of a process")?
            .is_none_or(|of| of == u64::from(pid));
        let watchdog = number("WATCHDOG_USEC", "a number of microseconds")?;
        Ok(Environment {
            socket,
            other_sockets: sockets,
            config,
            notify: variable("NOTIFY_SOCKET").filter(|path| !path.is_empty()),
            watchdog: watchdog
                .filter(|usec| watched && *usec > 0)
                .map(Duration::from_micros),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: u32 = 4120;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, Error> {
        let find = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        };
        Environment::read(find, PID)
    }

    #[test]
    fn an_empty_environment_passes_nothing() {
        assert_eq!(read(&[]).expect("valid"), Environment::default());
    }

    #[test]
    fn the_contract_is_read() {
        let environment = read(&[
            ("LISTEN_FDS", "1"),
            ("LISTEN_PID", "4120"),
            ("LISTEN_FDNAMES", "http"),
            ("PASTE_CONFIG_FD", "4"),
            ("NOTIFY_SOCKET", "/run/n"),
            ("WATCHDOG_USEC", "2000000"),
        ]);
        assert_eq!(
            environment.expect("valid"),
            Environment {
                socket: Some(3),
                other_sockets: vec![],
                config: Some(4),
                notify: Some("/run/n".into()),
                watchdog: Some(Duration::from_secs(2)),
            }
        );
    }

    #[test]
    fn sockets_for_another_process_are_not_ours() {
        for pid in ["1", "41200"] {
            assert_eq!(
                read(&[("LISTEN_FDS", "1"), ("LISTEN_PID", pid)])
                    .expect("valid")
                    .socket,
                None
            );
        }
        assert_eq!(read(&[("LISTEN_FDS", "1")]).expect("valid").socket, None);
    }

    #[test]
    fn a_watchdog_for_another_process_is_not_ours() {
        let environment = read(&[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")]).expect("valid");
        assert_eq!(environment.watchdog, None);
    }

    #[test]
    fn among_several_sockets_the_one_called_http_serves() {
        let environment = read(&[
            ("LISTEN_FDS", "3"),
            ("LISTEN_PID", "4120"),
            ("LISTEN_FDNAMES", "a:http:b"),
        ]);
        let environment = environment.expect("valid");
        assert_eq!(
            (environment.socket, environment.other_sockets),
            (Some(4), vec![3, 5])
        );
        let unnamed = read(&[("LISTEN_FDS", "2"), ("LISTEN_PID", "4120")]).expect("valid");
        assert_eq!((unnamed.socket, unnamed.other_sockets), (Some(3), vec![4]));
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_an_error_that_names_it() {
        for (name, value) in [
            ("LISTEN_PID", "me"),
            ("PASTE_CONFIG_FD", "-1"),
            ("WATCHDOG_USEC", "soon"),
        ] {
            let error = read(&[(name, value)]).expect_err("nonsense");
            assert!(error.to_string().starts_with(name), "{error}");
        }
        let error =
            read(&[("LISTEN_PID", "4120"), ("LISTEN_FDS", "99999999999")]).expect_err("too many");
        assert!(error.to_string().starts_with("LISTEN_FDS"), "{error}");
    }
}
