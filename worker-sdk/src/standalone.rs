//! The command line of a program that runs without paster.

use crate::config::Conf;
use std::ffi::OsString;
use std::fmt;

/// How to run the program alone, shown where it cannot go on.
pub(crate) const USAGE: &str =
    "mount it in a Paste Deploy file as `use = exec:PROGRAM` and run `paster serve`, \
or run it alone:
  PROGRAM --listen 127.0.0.1:8000 [KEY=VALUE…]

  --listen HOST:PORT | unix:PATH   where to serve
  --config KEY=VALUE, KEY=VALUE    an option of the app, as in its section of the file
  --global KEY=VALUE               an option as in [DEFAULT]";

/// What the command line says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Arguments {
    pub(crate) listen: Option<String>,
    pub(crate) local_conf: Conf,
    pub(crate) global_conf: Conf,
}

/// A command line that the program cannot use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UsageError {
    /// `--help` was asked for.
    Help,
    Unknown {
        argument: String,
    },
    MissingValue {
        option: &'static str,
    },
    NotAPair {
        argument: String,
    },
    NotText {
        argument: String,
    },
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsageError::Help => f.write_str("this program is a worker for paster"),
            UsageError::Unknown { argument } => write!(f, "unexpected argument `{argument}`"),
            UsageError::MissingValue { option } => write!(f, "`{option}` needs a value"),
            UsageError::NotAPair { argument } => {
                write!(f, "expected KEY=VALUE, found `{argument}`")
            }
            UsageError::NotText { argument } => {
                write!(f, "argument `{argument}` is not valid UTF-8")
            }
        }
    }
}

impl std::error::Error for UsageError {}

impl Arguments {
    /// `arguments` are those after the program's name.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Arguments, UsageError> {
        let mut parsed = Arguments::default();
        let mut arguments = arguments.into_iter().map(|argument| {
            argument.into_string().map_err(|raw| UsageError::NotText {
                argument: raw.to_string_lossy().into_owned(),
            })
        });
        while let Some(argument) = arguments.next().transpose()? {
            let (name, attached) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (argument.as_str(), None),
            };
            let mut value = |option| match attached.clone() {
                Some(value) => Ok(value),
                None => arguments
                    .next()
                    .transpose()?
                    .ok_or(UsageError::MissingValue { option }),
            };
            match name {
                "-h" | "--help" => return Err(UsageError::Help),
                "--listen" => parsed.listen = Some(value("--listen")?),
                "--config" => insert(&mut parsed.local_conf, &value("--config")?)?,
                "--global" => insert(&mut parsed.global_conf, &value("--global")?)?,
                _ if name.starts_with('-') => return Err(UsageError::Unknown { argument }),
                _ => insert(&mut parsed.local_conf, &argument)?,
            }
        }
        Ok(parsed)
    }
}

fn insert(conf: &mut Conf, pair: &str) -> Result<(), UsageError> {
    match pair.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            conf.insert(key.trim().to_owned(), value.trim().to_owned());
            Ok(())
        }
        _ => Err(UsageError::NotAPair {
            argument: pair.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, UsageError> {
        Arguments::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn options_come_in_both_spellings() {
        let spaced = parse(&[
            "--listen",
            "127.0.0.1:8000",
            "--config",
            "a=1",
            "b=x=y",
            "--global",
            "debug=true",
        ]);
        let joined = parse(&[
            "--listen=127.0.0.1:8000",
            "--config=a=1",
            "b=x=y",
            "--global=debug=true",
        ]);
        assert_eq!(spaced, joined);
        let arguments = spaced.expect("valid");
        assert_eq!(arguments.listen.as_deref(), Some("127.0.0.1:8000"));
        assert_eq!(arguments.local_conf["a"], "1");
        assert_eq!(arguments.local_conf["b"], "x=y");
        assert_eq!(arguments.global_conf["debug"], "true");
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let unknown = |argument: &str| {
            Err(UsageError::Unknown {
                argument: argument.to_owned(),
            })
        };
        let not_a_pair = |argument: &str| {
            Err(UsageError::NotAPair {
                argument: argument.to_owned(),
            })
        };
        assert_eq!(parse(&["--port", "1"]), unknown("--port"));
        assert_eq!(parse(&["--port=1"]), unknown("--port=1"));
        assert_eq!(parse(&["start.ini"]), not_a_pair("start.ini"));
        assert_eq!(parse(&["--config", "=1"]), not_a_pair("=1"));
        assert_eq!(
            parse(&["--listen"]),
            Err(UsageError::MissingValue { option: "--listen" })
        );
        assert_eq!(parse(&["--help"]), Err(UsageError::Help));
    }
}
