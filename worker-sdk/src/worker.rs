//! What a program sees of its supervisor.

use crate::config::{self, Conf, Document};
use crate::env::Environment;
use crate::error::{BoxError, Error};
use crate::fd::Inheritance;
use crate::listener::Listener;
use crate::notify::Notifier;
use crate::serve;
use crate::service::HttpService;
use crate::shutdown::Shutdown;
use crate::standalone::Arguments;
use http::Request;
use http_body::Body;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use std::ffi::OsString;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// One worker: its listener, its configuration, and its line to the supervisor.
#[derive(Debug)]
pub struct Worker {
    listener: Listener,
    document: Document,
    notifier: Notifier,
    watchdog: Option<Duration>,
    shutdown: Mutex<Option<Shutdown>>,
    /// Nobody passed the socket: a person may want to know where it listens.
    alone: bool,
}

impl Worker {
    /// Takes over what paster has passed on. Where it has passed no socket, the command line says where to listen
    /// (`--listen 127.0.0.1:8000`), and where it has passed no configuration, the options (`KEY=VALUE…`).
    ///
    /// Works once in a process; call it first in `main`.
    ///
    /// # Errors
    /// When there is nothing to serve on, or what was passed does not honour the worker contract.
    pub fn from_env() -> Result<Worker, Error> {
        Worker::from_env_and(std::env::args_os().skip(1))
    }

    /// As [`Worker::from_env`], for programs with a command line of their own: `arguments` stands for it. It is not
    /// looked at where paster has passed both a socket and a configuration.
    ///
    /// # Errors
    /// As [`Worker::from_env`].
    pub fn from_env_and<A: Into<OsString>>(
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Worker, Error> {
        let mut inheritance = Inheritance::claim().ok_or(Error::AlreadyTaken)?;
        let environment = Environment::read(|name| std::env::var_os(name), std::process::id())?;
        // First of all, so that a failure below can be told.
        let notifier = Notifier::new(environment.notify.as_deref())?;

        let (socket, document) = take_over(&mut inheritance, &environment)?;
        let arguments = match (&socket, &document) {
            (Some(_), Some(_)) => Arguments::default(),
            _ => Arguments::parse(arguments.into_iter().map(Into::into))?,
        };
        let alone = socket.is_none() && document.is_none();
        let listener = match (socket, &arguments.listen) {
            (Some(listener), _) => listener,
            (None, Some(address)) => Listener::bind(address).map_err(|source| Error::Listen {
                address: address.clone(),
                source,
            })?,
            (None, None) => return Err(Error::NoSocket),
        };
        let document = with_arguments(document, arguments);
        let shutdown = Mutex::new(None);
        Ok(Worker {
            listener,
            document,
            notifier,
            watchdog: environment.watchdog,
            shutdown,
            alone,
        })
    }

    /// The app's options (`local_conf`: the rest of its section) as `T`, each value as the type of its field wants it.
    ///
    /// | type of the field | accepted |
    /// |---|---|
    /// | `bool` | `true yes on y t 1` and `false no off n f 0` in any case (`paste.deploy.converters.asbool`) |
    /// | integers | as `asint`: sign and single `_` between digits; must fit the type |
    /// | `f32`, `f64` | decimal, exponent, `inf`, `nan` |
    /// | `String`, `PathBuf`, anything that parses from a string in serde (`IpAddr` …) | the value |
    /// | `Vec<T>`, tuples | items separated by white space (`aslist`) |
    /// | `Option<T>` | absent or empty is `None` |
    /// | [`std::time::Duration`] | `500ms`, `10s`, `5m`, `2h` |
    /// | enums of names | the name of a variant, as serde knows it |
    ///
    /// An option without a field is ignored unless the struct has `#[serde(deny_unknown_fields)]`.
    /// serde hands `#[serde(flatten)]` and untagged enums text only, so use neither with fields of other types.
    ///
    /// # Errors
    /// [`Error::Config`] names the option and what was expected. The supervisor is told too.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.read(&self.document.local_conf)
    }

    /// The options that apply to the whole file (`global_conf`: `[DEFAULT]`, the command line, `here`) as `T`.
    ///
    /// # Errors
    /// As [`Worker::config`].
    pub fn global_config<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.read(&self.document.global_conf)
    }

    fn read<T: DeserializeOwned>(&self, conf: &Conf) -> Result<T, Error> {
        config::read(conf).map_err(|problem| {
            self.notifier.status(&format!("configuration: {problem}"));
            Error::Config {
                app: self.document.app.clone(),
                file: self.document.config_file.clone(),
                problem: Box::new(problem),
            }
        })
    }

    /// Name of the app: that of its section.
    pub fn app(&self) -> &str {
        &self.document.app
    }

    /// Number of this worker within its app, from 0; stable across restarts.
    pub fn slot(&self) -> u32 {
        self.document.slot
    }

    /// Grows with each rollout of the app, from 1.
    pub fn generation(&self) -> u64 {
        self.document.generation
    }

    /// Where the app is visible, e.g. `/blog`.
    pub fn mounts(&self) -> &[String] {
        &self.document.mounts
    }

    /// How many requests come at the same time.
    pub fn threads(&self) -> u32 {
        self.document.threads
    }

    /// Whether the site is in debug mode, so that details may be shown to whoever asks.
    pub fn debug(&self) -> bool {
        self.document.debug
    }

    /// The INI file that is served; none when the program runs alone.
    pub fn config_file(&self) -> Option<&Path> {
        self.document.config_file.as_deref()
    }

    /// Everything that was passed, for what has no method of its own.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The socket, for programs that do not use [`Worker::serve`]. They never close an idle connection, say
    /// [`Worker::ready`] and stop at [`Worker::shutdown`].
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// A line to the supervisor that outlives the call of [`Worker::serve`].
    pub fn notifier(&self) -> Notifier {
        self.notifier.clone()
    }

    /// Says what the worker is doing, e.g. while it starts; see [`Notifier::status`].
    pub fn status(&self, text: &str) {
        self.notifier.status(text);
    }

    /// Says that the worker can serve; [`Worker::serve`] does this by itself.
    ///
    /// # Errors
    /// When the supervisor cannot be reached.
    pub fn ready(&self) -> Result<(), Error> {
        self.notifier.ready()
    }

    /// Tells when the worker is asked to stop, for work beside requests. [`Worker::serve`] stops by itself.
    ///
    /// # Errors
    /// Outside a tokio runtime, or when signals cannot be received.
    pub fn shutdown(&self) -> Result<Shutdown, Error> {
        let mut shutdown = self.shutdown.lock().unwrap_or_else(PoisonError::into_inner);
        match &*shutdown {
            Some(shutdown) => Ok(shutdown.clone()),
            None => Ok(shutdown.insert(Shutdown::listen()?).clone()),
        }
    }

    /// Serves requests until SIGTERM, then finishes what is in flight and returns: end the program then.
    ///
    /// Says `READY=1` first, pings the watchdog if there is one, and never closes an idle connection. Each connection is
    /// a task of the current runtime. A second signal ends the drain.
    ///
    /// # Errors
    /// When it cannot start, or the drain was cut short ([`Error::CutShort`]).
    pub async fn serve<K, S>(self, service: S) -> Result<(), Error>
    where
        S: HttpService<K>,
        S::Service: Clone + Send + 'static,
        <S::Service as hyper::service::Service<Request<Incoming>>>::Future: Future + Send,
        <S::Service as hyper::service::Service<Request<Incoming>>>::Error: Into<BoxError>,
        S::Body: Body + Send + 'static,
        <S::Body as Body>::Data: Send,
        <S::Body as Body>::Error: Into<BoxError>,
    {
        let shutdown = self.shutdown()?;
        let service = service.into_service();
        let address = self.listener.address();
        if self.alone {
            // For the person at the terminal; when it is gone, nobody misses the line.
            let _ = writeln!(
                io::stderr(),
                "serving app `{}` on {address}",
                self.document.app
            );
        }
        let failed = |source| Error::Listen { address, source };
        match self.listener {
            Listener::Unix(listener) => {
                listener
                    .set_nonblocking(true)
                    .and_then(|()| tokio::net::UnixListener::from_std(listener))
                    .map(|listener| {
                        serve::serve(listener, service, &self.notifier, self.watchdog, shutdown)
                    })
                    .map_err(failed)?
                    .await
            }
            Listener::Tcp(listener) => {
                listener
                    .set_nonblocking(true)
                    .and_then(|()| tokio::net::TcpListener::from_std(listener))
                    .map(|listener| {
                        serve::serve(listener, service, &self.notifier, self.watchdog, shutdown)
                    })
                    .map_err(failed)?
                    .await
            }
        }
    }
}

/// The socket and the document, as far as they were passed. Sockets that this program does not serve are closed, as
/// nobody else will.
fn take_over(
    inheritance: &mut Inheritance,
    environment: &Environment,
) -> Result<(Option<Listener>, Option<Document>), Error> {
    let mut take = |variable, fd: RawFd| {
        inheritance.take(fd).map_err(|reason| Error::Descriptor {
            variable,
            fd,
            reason,
        })
    };
    for other in &environment.other_sockets {
        drop(take("LISTEN_FDS", *other)?);
    }
    let listener = match environment.socket {
        None => None,
        Some(fd) => {
            let unusable = |reason| Error::Descriptor {
                variable: "LISTEN_FDS",
                fd,
                reason,
            };
            Some(Listener::inherited(take("LISTEN_FDS", fd)?).map_err(unusable)?)
        }
    };
    let document = match environment.config {
        None => None,
        Some(fd) => Some(read_document(File::from(take("PASTE_CONFIG_FD", fd)?))?),
    };
    Ok((listener, document))
}

fn read_document(mut file: File) -> Result<Document, Error> {
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(Error::Unreadable)?;
    let version: Version = serde_json::from_str(&text).map_err(Error::Malformed)?;
    if version.contract != config::CONTRACT {
        return Err(Error::Contract {
            found: version.contract,
            known: config::CONTRACT,
        });
    }
    serde_json::from_str(&text).map_err(Error::Malformed)
}

/// Read first: the rest of another version may look different.
#[derive(serde::Deserialize)]
struct Version {
    contract: u32,
}

/// What the command line says goes over what was passed.
fn with_arguments(document: Option<Document>, arguments: Arguments) -> Document {
    let mut document = document.unwrap_or_else(|| {
        let debug = arguments
            .global_conf
            .get("debug")
            .is_some_and(|text| config::is_on(text));
        Document {
            debug,
            ..Document::alone(program_name())
        }
    });
    document.local_conf.extend(arguments.local_conf);
    document.global_conf.extend(arguments.global_conf);
    document
}

fn program_name() -> String {
    let program = std::env::current_exe().ok();
    let name = program.as_ref().and_then(|path| path.file_stem());
    name.map_or_else(
        || "main".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments() -> Arguments {
        let pair = |key: &str, value: &str| Conf::from([(key.to_owned(), value.to_owned())]);
        Arguments {
            listen: None,
            local_conf: pair("greeting", "hi"),
            global_conf: pair("debug", "on"),
        }
    }

    #[test]
    fn alone_a_program_is_an_app_with_the_options_of_the_command_line() {
        let document = with_arguments(None, arguments());
        assert!(document.debug);
        assert_eq!(
            (document.slot, document.generation, document.threads),
            (0, 1, 4)
        );
        assert_eq!(document.local_conf["greeting"], "hi");
    }

    #[test]
    fn the_command_line_goes_over_what_was_passed() {
        let mut passed = Document::alone("blog".to_owned());
        passed
            .local_conf
            .insert("greeting".to_owned(), "hello".to_owned());
        passed.local_conf.insert("kept".to_owned(), "1".to_owned());
        let document = with_arguments(Some(passed), arguments());
        assert_eq!(document.app, "blog");
        assert_eq!(document.local_conf["greeting"], "hi");
        assert_eq!(document.local_conf["kept"], "1");
    }

    fn document(text: &str) -> Result<Document, Error> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        std::io::Seek::rewind(&mut file).expect("at its start");
        read_document(file)
    }

    #[test]
    fn fields_of_later_paster_versions_do_not_disturb_but_another_contract_does() {
        let read = document(
            r#"{"contract": 1, "app": "blog", "slot": 1, "tree": {"parts": "leaf"}, "config_file": null}"#,
        );
        assert_eq!(read.expect("valid").slot, 1);
        let newer = document(r#"{"contract": 2, "name": "blog"}"#);
        assert!(matches!(newer, Err(Error::Contract { found: 2, known: 1 })));
        assert!(matches!(document("{"), Err(Error::Malformed(_))));
    }
}
