//! The format of an access log line: a text in which `$name` and `${name}` stand for facts about a request, with nginx's names where
//! nginx has one.
//!
//! The supervisor reads a format to refuse a wrong one, the proxy to follow it: once, into a list of pieces.

use super::access_log::LogFormat;

/// The format `common`, without what a client says of itself.
const COMMON: &str =
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent"#;
/// The format `combined` of Apache and nginx.
const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;

/// A format, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    pub escape: Escape,
    pub pieces: Vec<Piece>,
    /// Names of the request fields that it shows, in lower case.
    pub request_fields: Vec<String>,
    /// The same for responses.
    pub response_fields: Vec<String>,
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    Variable(Variable),
}

/// How values are kept from being taken for a part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escape {
    /// `\xXX` for `"`, `\`, control characters and what is not ASCII; `-` for no value.
    #[default]
    Default,
    /// As in a JSON string; nothing for no value.
    Json,
}

macro_rules! variables {
    ($($name:literal $variable:ident,)*) => {
        /// A fact about a request; docs/access-log.md says what each is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Variable {
            $($variable,)*
            /// `http_NAME`: one of [`Format::request_fields`].
            RequestField(usize),
            /// `sent_http_NAME`: one of [`Format::response_fields`].
            ResponseField(usize),
        }

        /// Names of all variables that have one name.
        pub const NAMES: &[&str] = &[$($name,)*];

        impl Variable {
            fn named(name: &str) -> Option<Variable> {
                match name {
                    $($name => Some(Variable::$variable),)*
                    _ => None,
                }
            }
        }
    };
}

variables! {
    "remote_addr" RemoteAddr,
    "remote_port" RemotePort,
    "remote_user" RemoteUser,
    "time_local" TimeLocal,
    "time_iso8601" TimeIso8601,
    "msec" Msec,
    "request" Request,
    "request_method" RequestMethod,
    "request_uri" RequestUri,
    "args" Args,
    "query_string" QueryString,
    "server_protocol" ServerProtocol,
    "scheme" Scheme,
    "host" Host,
    "server_port" ServerPort,
    "ssl_protocol" SslProtocol,
    "ssl_cipher" SslCipher,
    "ssl_client_verify" SslClientVerify,
    "ssl_client_s_dn" SslClientSDn,
    "ssl_client_i_dn" SslClientIDn,
    "ssl_client_serial" SslClientSerial,
    "status" Status,
    "body_bytes_sent" BodyBytesSent,
    "body_bytes_received" BodyBytesReceived,
    "request_time" RequestTime,
    "queue_time" QueueTime,
    "upstream_addr" UpstreamAddr,
    "upstream_tries" UpstreamTries,
    "upstream_status" UpstreamStatus,
    "upstream_connect_time" UpstreamConnectTime,
    "upstream_header_time" UpstreamHeaderTime,
    "upstream_response_time" UpstreamResponseTime,
    "app" App,
    "slot" Slot,
    "generation" Generation,
    "pid" Pid,
    "request_id" RequestId,
    "trace_id" TraceId,
    "span_id" SpanId,
}

/// Why a text is no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("there is no variable `${0}`")]
    Unknown(String),
    #[error("a `$` is followed by no name; write `$$` for the character")]
    Nameless,
    #[error("`${{` is not followed by a name and `}}`")]
    Unclosed,
    #[error("`escape` is `default` or `json`")]
    UnknownEscape,
    #[error("the format is empty")]
    Empty,
}

impl Format {
    /// The format of `log_format`; for [`LogFormat::Json`] none, for it has no text.
    ///
    /// # Errors
    /// What [`Format::parse`] refuses.
    pub fn of(log_format: &LogFormat) -> Option<Result<Format, FormatError>> {
        let text = match log_format {
            LogFormat::Common => COMMON,
            LogFormat::Combined => COMBINED,
            LogFormat::Text(text) => text,
            LogFormat::Json => return None,
        };
        Some(Format::parse(text))
    }

    /// Reads a format, which may begin with `escape=default` or `escape=json`. A line break with the white space around it is one
    /// space.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(text: &str) -> Result<Format, FormatError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let text = lines.collect::<Vec<_>>().join(" ");
        let (escape, mut rest) = escape(&text)?;
        let mut format = Format {
            escape,
            pieces: Vec::new(),
            request_fields: Vec::new(),
            response_fields: Vec::new(),
        };
        if rest.is_empty() {
            return Err(FormatError::Empty);
        }
        while let Some((before, after)) = rest.split_once('$') {
            format.push_text(before);
            if let Some(after) = after.strip_prefix('$') {
                format.push_text("$");
                rest = after;
                continue;
            }
            let (name, after) = name(after)?;
            let variable = format.variable(name)?;
            format.pieces.push(Piece::Variable(variable));
            rest = after;
        }
        format.push_text(rest);
        Ok(format)
    }

    fn push_text(&mut self, more: &str) {
        if more.is_empty() {
            return;
        }
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push_str(more),
            _ => self.pieces.push(Piece::Text(more.to_owned())),
        }
    }

    fn variable(&mut self, name: &str) -> Result<Variable, FormatError> {
        if let Some(variable) = Variable::named(name) {
            return Ok(variable);
        }
        if let Some(field) = name.strip_prefix("http_").filter(|f| !f.is_empty()) {
            return Ok(Variable::RequestField(position(
                &mut self.request_fields,
                field,
            )));
        }
        match name.strip_prefix("sent_http_").filter(|f| !f.is_empty()) {
            Some(field) => Ok(Variable::ResponseField(position(
                &mut self.response_fields,
                field,
            ))),
            None => Err(FormatError::Unknown(name.to_owned())),
        }
    }
}

fn escape(text: &str) -> Result<(Escape, &str), FormatError> {
    let Some(after) = text.strip_prefix("escape=") else {
        return Ok((Escape::Default, text));
    };
    let (word, rest) = after.split_once(' ').unwrap_or((after, ""));
    let escape = match word {
        "default" => Escape::Default,
        "json" => Escape::Json,
        _ => return Err(FormatError::UnknownEscape),
    };
    Ok((escape, rest.trim_start()))
}

/// The name after a `$`, and what follows it.
fn name(text: &str) -> Result<(&str, &str), FormatError> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some(braced) = text.strip_prefix('{') {
        let (name, rest) = braced.split_once('}').ok_or(FormatError::Unclosed)?;
        return match !name.is_empty() && name.chars().all(in_name) {
            true => Ok((name, rest)),
            false => Err(FormatError::Unclosed),
        };
    }
    let end = text.find(|c| !in_name(c)).unwrap_or(text.len());
    match end {
        0 => Err(FormatError::Nameless),
        end => Ok(text.split_at(end)),
    }
}

/// Where the field with this name in a format is, which may be added now.
fn position(fields: &mut Vec<String>, name: &str) -> usize {
    let name = name.to_ascii_lowercase().replace('_', "-");
    match fields.iter().position(|known| *known == name) {
        Some(at) => at,
        None => {
            fields.push(name);
            fields.len() - 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    #[test]
    fn a_format_is_texts_and_variables() {
        let format = Format::parse("${status}s \"$http_X_Thing\" $app$slot $$5 $http_x_thing")
            .expect("a format");
        assert_eq!(
            format.pieces,
            [
                Piece::Variable(Variable::Status),
                text("s \""),
                Piece::Variable(Variable::RequestField(0)),
                text("\" "),
                Piece::Variable(Variable::App),
                Piece::Variable(Variable::Slot),
                text(" $5 "),
                Piece::Variable(Variable::RequestField(0)),
            ]
        );
        assert_eq!(format.request_fields, ["x-thing"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text| Format::parse(text).expect_err("not a format");
        assert_eq!(
            error("$statuss"),
            FormatError::Unknown("statuss".to_owned())
        );
        assert_eq!(error("$http_"), FormatError::Unknown("http_".to_owned()));
        assert_eq!(error("a $ b"), FormatError::Nameless);
        assert_eq!(error("${status"), FormatError::Unclosed);
        assert_eq!(error("${}"), FormatError::Unclosed);
        assert_eq!(error("escape=xml $status"), FormatError::UnknownEscape);
        assert_eq!(error("escape=json"), FormatError::Empty);
    }

    #[test]
    fn a_format_may_go_over_lines_and_say_how_it_escapes() {
        let format = Format::parse("escape=json {\"status\": $status,\n   \"app\": \"$app\"}");
        let format = format.expect("a format");
        assert_eq!(format.escape, Escape::Json);
        assert_eq!(format.pieces[2], text(", \"app\": \""));
    }

    #[test]
    fn formats_with_names_are_formats() {
        for named in [LogFormat::Common, LogFormat::Combined] {
            assert!(matches!(Format::of(&named), Some(Ok(_))));
        }
        for name in NAMES {
            assert!(Format::parse(&format!("${name}")).is_ok(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(any in "[$a-z{}_ =\n]{0,60}") {
            let _ = Format::parse(&any);
        }

        #[test]
        fn text_without_variables_stays_itself(plain in "[!-#%-~][ -#%-~]{0,40}[!-#%-~]") {
            prop_assume!(!plain.starts_with("escape="));
            let format = Format::parse(&plain).expect("nothing to refuse");
            prop_assert_eq!(format.pieces, [text(&plain)]);
        }
    }
}
