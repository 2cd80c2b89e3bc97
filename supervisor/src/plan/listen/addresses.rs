//! The addresses of a server section, in the ways in which servers have them written.

use super::Reader;
use crate::plan::address::{host_and_port, passed, port};
use crate::plan::keys::Wrong;
use crate::plan::servers::Speech;
use crate::plan::spec::Listen;
use crate::plan::values::each_line;
use std::path::{Path, PathBuf};

/// The port of the original's server when it speaks TLS.
const PASTE_TLS_PORT: u16 = 4443;
/// Permission bits of waitress's unix socket.
const WAITRESS_MODE: u32 = 0o600;
/// Permission bits of gunicorn's unix socket: its `umask` is 0 unless set.
const GUNICORN_MODE: u32 = 0o777;

impl Reader<'_> {
    /// All that the section names; fewer only with a problem noted.
    pub(super) fn addresses(&mut self) -> Vec<Listen> {
        let speech = self.server.speech;
        if matches!(speech, Speech::Waitress | Speech::Unknown) {
            if self.says("unix_socket") {
                return self.unix_socket();
            }
            if self.says("listen") {
                let default = self.own_port();
                return self
                    .take("listen", |text| several(text, char::is_whitespace, default))
                    .unwrap_or_default();
            }
        }
        if matches!(speech, Speech::Gunicorn | Speech::Unknown) && self.says("bind") {
            let (default, here) = (self.server.port, self.here());
            return self
                .take("bind", |text| bind(text, default, &here))
                .unwrap_or_default();
        }
        self.host_and_port()
    }

    fn host_and_port(&mut self) -> Vec<Listen> {
        let default = self.own_port();
        let gunicorn = self.server.speech == Speech::Gunicorn;
        let written = self.take("host", |text| match text.trim() {
            text if gunicorn || text.is_empty() => several(text, |c| c == ',', default),
            text => Ok(vec![tcp(text, default)?]),
        });
        written
            .filter(|listen| !listen.is_empty())
            .unwrap_or_else(|| {
                vec![Listen::Tcp {
                    host: self.server.host.to_owned(),
                    port: default,
                }]
            })
    }

    fn own_port(&mut self) -> u16 {
        let default = match self.server.name {
            "egg:Paste#http" if self.asks_for_tls() => PASTE_TLS_PORT,
            _ => self.server.port,
        };
        self.take("port", |text| {
            if text.trim().is_empty() {
                Ok(default)
            } else {
                port(text)
            }
        })
        .unwrap_or(default)
    }

    fn unix_socket(&mut self) -> Vec<Listen> {
        let here = self.here();
        let mode = self.take("unix_socket_perms", |text| {
            u32::from_str_radix(text.trim(), 8)
                .ok()
                .filter(|mode| *mode <= 0o777)
                .ok_or_else(|| "expected octal permission bits such as `660`".to_owned())
        });
        let path = self.take("unix_socket", |text| unix_path(text, &here));
        path.map(|path| {
            vec![Listen::Unix {
                path,
                mode: mode.unwrap_or(WAITRESS_MODE),
            }]
        })
        .unwrap_or_default()
    }
}

/// Addresses between `separators`.
fn several(text: &str, separators: fn(char) -> bool, default: u16) -> Result<Vec<Listen>, Wrong> {
    let listens: Vec<Vec<Listen>> = each_line(text, |line| {
        line.split(separators)
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| tcp(item, default))
            .collect()
    })?;
    Ok(each_once(listens.concat())?)
}

fn each_once(listens: Vec<Listen>) -> Result<Vec<Listen>, String> {
    match named_twice(&listens) {
        Some(listen) => Err(format!(
            "expected each address once, {listen} is there twice"
        )),
        None => Ok(listens),
    }
}

/// An address on which somebody would listen already: we. Port 0 is another one each time.
pub fn named_twice(listens: &[Listen]) -> Option<&Listen> {
    let mut own = listens.iter().enumerate();
    let twice = own.find(|(at, listen)| match listen {
        Listen::Tcp { port: 0, .. } | Listen::Passed { .. } => false,
        Listen::Tcp { .. } | Listen::Unix { .. } => listens[..*at].contains(listen),
    });
    twice.map(|(_, listen)| listen)
}

/// `host:port`, or `fd:NAME`.
fn tcp(text: &str, default: u16) -> Result<Listen, String> {
    if let Some(passed) = passed(text) {
        return passed;
    }
    let (host, port) = host_and_port(text)?;
    if host.is_empty() {
        return Err("expected an address such as `127.0.0.1:8080`".to_owned());
    }
    Ok(Listen::Tcp {
        host,
        port: port.unwrap_or(default),
    })
}

/// gunicorn's `bind`: a comma list of `host:port` and `unix:path`.
fn bind(text: &str, default: u16, here: &Path) -> Result<Vec<Listen>, String> {
    let items = text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    let listen = items.map(|item| match item.strip_prefix("unix:") {
        Some(path) => {
            let path = path.strip_prefix("//").unwrap_or(path);
            Ok(Listen::Unix {
                path: unix_path(path, here)?,
                mode: GUNICORN_MODE,
            })
        }
        None => tcp(item.strip_prefix("tcp://").unwrap_or(item), default),
    });
    let listen = listen.collect::<Result<Vec<Listen>, String>>()?;
    each_once(listen).and_then(|listen| {
        if listen.is_empty() {
            Err("expected an address such as `127.0.0.1:8000`".to_owned())
        } else {
            Ok(listen)
        }
    })
}

/// The longest path that `sockaddr_un` takes on Linux, without its final NUL.
const LONGEST_UNIX_PATH: usize = 107;

fn unix_path(text: &str, here: &Path) -> Result<PathBuf, String> {
    let path = here.join(text.trim());
    if text.trim().is_empty() || text.contains(['\0', '\n']) {
        return Err("expected the path of a socket".to_owned());
    }
    if path.as_os_str().len() > LONGEST_UNIX_PATH {
        return Err(format!(
            "the path of a socket cannot be longer than {LONGEST_UNIX_PATH} bytes"
        ));
    }
    Ok(path)
}
