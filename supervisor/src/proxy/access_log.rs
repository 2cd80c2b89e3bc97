//! The access log: what is known of a request when it is over, the formats of its line, and the thread that writes
//! them, so that a slow disk slows nobody down. When no log is kept, nothing here runs.

use super::body::ResponseBody;
use crate::router::message::{AccessLog, LogFormat, Worker};
use crate::sys::shortage::Complaints;
use http::header::{REFERER, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Lines that may wait for the writer; beyond this they are counted and dropped.
const WAITING: usize = 8192;

/// One request.
#[derive(Debug)]
pub(super) struct Entry {
    started: Instant,
    time: SystemTime,
    peer: Option<SocketAddr>,
    line: RequestLine,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    pub(super) request_id: Option<HeaderValue>,
    pub(super) app: Option<Arc<str>>,
    worker: Option<(u32, u32)>,
    status: StatusCode,
    pub(super) bytes: u64,
}

/// What was asked for.
#[derive(Debug)]
enum RequestLine {
    Parsed(Method, Uri, Version),
    /// Of a head that was refused: as it came.
    Raw(Vec<u8>),
}

impl RequestLine {
    /// Method, target and version; what is not known is empty.
    fn parts(&self) -> (Cow<'_, str>, Cow<'_, str>, Cow<'_, str>) {
        match self {
            Self::Parsed(method, uri, version) => (
                method.as_str().into(),
                uri.to_string().into(),
                format!("{version:?}").into(),
            ),
            Self::Raw(line) => {
                let mut words = line
                    .splitn(3, |&byte| byte == b' ')
                    .map(String::from_utf8_lossy);
                let mut next = || words.next().unwrap_or_default();
                (next(), next(), next())
            }
        }
    }

    fn push(&self, line: &mut String) {
        match self {
            Self::Parsed(..) => {
                let (method, target, version) = self.parts();
                line.push_str(&method);
                line.push(' ');
                push_escaped(line, target.as_bytes());
                line.push(' ');
                line.push_str(&version);
            }
            Self::Raw(raw) if raw.is_empty() => line.push('-'),
            Self::Raw(raw) => push_escaped(line, raw),
        }
    }
}

impl Entry {
    pub(super) fn start(request: &Request<Incoming>, peer: Option<SocketAddr>) -> Self {
        Self {
            started: Instant::now(),
            time: SystemTime::now(),
            peer,
            line: RequestLine::Parsed(
                request.method().clone(),
                request.uri().clone(),
                request.version(),
            ),
            referer: request.headers().get(REFERER).cloned(),
            user_agent: request.headers().get(USER_AGENT).cloned(),
            request_id: None,
            app: None,
            worker: None,
            status: StatusCode::OK,
            bytes: 0,
        }
    }

    /// A head that never became a request.
    pub(super) fn refused(line: Vec<u8>, peer: Option<SocketAddr>, status: StatusCode) -> Self {
        Self {
            started: Instant::now(),
            time: SystemTime::now(),
            peer,
            line: RequestLine::Raw(line),
            referer: None,
            user_agent: None,
            request_id: None,
            app: None,
            worker: None,
            status,
            bytes: 0,
        }
    }

    pub(super) fn answered_by(&mut self, worker: &Worker, status: StatusCode) {
        self.worker = Some((worker.slot, worker.pid));
        self.status = status;
    }

    pub(super) fn answered_by_us(&mut self, response: &Response<ResponseBody>) {
        self.status = response.status();
        self.bytes = http_body::Body::size_hint(response.body())
            .exact()
            .unwrap_or(0);
    }

    fn line(&self, format: LogFormat) -> String {
        match format {
            LogFormat::Common => self.common(),
            LogFormat::Combined => {
                let mut line = self.common();
                for field in [&self.referer, &self.user_agent] {
                    line.push_str(" \"");
                    match field {
                        Some(value) => push_escaped(&mut line, value.as_bytes()),
                        None => line.push('-'),
                    }
                    line.push('"');
                }
                line
            }
            LogFormat::Json => self.json(),
        }
    }

    fn common(&self) -> String {
        let mut line = String::with_capacity(256);
        match self.peer {
            Some(peer) => {
                let _ = write!(line, "{}", peer.ip().to_canonical());
            }
            None => line.push('-'),
        }
        let _ = write!(line, " - - [{}] \"", Timestamp(self.time).common());
        self.line.push(&mut line);
        let _ = write!(line, "\" {} {}", self.status.as_u16(), self.bytes);
        line
    }

    fn json(&self) -> String {
        let text = |value: &Option<HeaderValue>| {
            value
                .as_ref()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let (method, target, version) = self.line.parts();
        let duration = self.started.elapsed().as_secs_f64() * 1000.0;
        serde_json::json!({
            "time": Timestamp(self.time).rfc3339(),
            "client": self.peer.map(|peer| peer.ip().to_canonical().to_string()),
            "method": method,
            "target": target,
            "version": version,
            "status": self.status.as_u16(),
            "bytes": self.bytes,
            "duration_ms": (duration * 1000.0).round() / 1000.0,
            "app": self.app.as_deref(),
            "slot": self.worker.map(|(slot, _)| slot),
            "pid": self.worker.map(|(_, pid)| pid),
            "request_id": text(&self.request_id),
            "referer": text(&self.referer),
            "user_agent": text(&self.user_agent),
        })
        .to_string()
    }
}

/// Nothing that a client sends ends a line or a quoted field.
fn push_escaped(line: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                let _ = write!(line, "\\x{byte:02x}");
            }
            byte => line.push(char::from(byte)),
        }
    }
}

/// A moment in UTC.
struct Timestamp(SystemTime);

impl Timestamp {
    /// Year, month, day, hour, minute, second, millisecond.
    fn parts(&self) -> (i64, usize, u64, u64, u64, u64, u32) {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        (
            year,
            month,
            day,
            rest / 3600,
            rest / 60 % 60,
            rest % 60,
            since.subsec_millis(),
        )
    }

    fn common(&self) -> String {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let (year, month, day, hour, minute, second, _) = self.parts();
        let month = MONTHS[month - 1];
        format!("{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000")
    }

    fn rfc3339(&self) -> String {
        let (year, month, day, hour, minute, second, milli) = self.parts();
        format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// The Gregorian date of a day since 1970.
fn civil(mut days: u64) -> (i64, usize, u64) {
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970 + 400 * i64::try_from(days / 146_097).unwrap_or(0);
    days %= 146_097;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

enum Message {
    Entry(Box<Entry>),
    Reopen,
}

/// The way to the writer's thread.
#[derive(Debug)]
pub(super) struct AccessLogger {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl AccessLogger {
    /// Opens the log and starts its thread; none when no log is wanted.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn start(config: &AccessLog) -> io::Result<Option<Self>> {
        let (sink, format) = match config {
            AccessLog::Off => return Ok(None),
            AccessLog::Stdout { format } => (Sink::Stdout(io::stdout()), *format),
            AccessLog::File { path, format } => (Sink::open(path)?, *format),
        };
        let (lines, receiver) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_all(sink, format, &receiver, &count))?;
        Ok(Some(Self { lines, dropped }))
    }

    /// Never waits.
    pub(super) fn write(&self, entry: Entry) {
        if self
            .lines
            .try_send(Message::Entry(Box::new(entry)))
            .is_err()
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file again, after what was logged before.
    pub(super) fn reopen(&self) {
        // The control loop may wait: the writer only ever waits for the disk.
        let _ = self.lines.send(Message::Reopen);
    }
}

enum Sink {
    Stdout(io::Stdout),
    File {
        path: PathBuf,
        file: BufWriter<File>,
    },
}

impl Sink {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|error| {
                let shown = path.display();
                io::Error::new(
                    error.kind(),
                    format!("cannot open the access log {shown}: {error}"),
                )
            })?;
        Ok(Self::File {
            path: path.to_owned(),
            file: BufWriter::new(file),
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Stdout(out) => out,
            Self::File { file, .. } => file,
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        let _ = self.writer().flush();
        if let Self::File { path, .. } = self {
            *self = Self::open(&path.clone())?;
        }
        Ok(())
    }
}

fn write_all(mut sink: Sink, format: LogFormat, lines: &Receiver<Message>, dropped: &AtomicU64) {
    let mut complaints = Complaints::default();
    loop {
        let message = match lines.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Empty) => {
                // Nothing is waiting: what was written becomes visible.
                let _ = sink.writer().flush();
                let lost = dropped.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::warn!(lost, "access log was too slow, lines were dropped");
                }
                match lines.recv() {
                    Ok(message) => message,
                    Err(_) => return,
                }
            }
            Err(TryRecvError::Disconnected) => {
                let _ = sink.writer().flush();
                return;
            }
        };
        let done = match message {
            Message::Entry(entry) => writeln!(sink.writer(), "{}", entry.line(format)),
            Message::Reopen => sink.reopen(),
        };
        if let Err(error) = done
            && complaints.are_due()
        {
            tracing::warn!(%error, "cannot write the access log");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn entry() -> Entry {
        Entry {
            started: Instant::now(),
            time: UNIX_EPOCH + Duration::from_millis(1_709_210_096_789),
            peer: Some("192.0.2.1:5".parse().unwrap()),
            line: RequestLine::Parsed(Method::GET, "/a?b=%22c".parse().unwrap(), Version::HTTP_11),
            referer: None,
            user_agent: Some(HeaderValue::from_bytes(b"x\"\xff").unwrap()),
            request_id: Some(HeaderValue::from_static("id-1")),
            app: Some("blog".into()),
            worker: Some((0, 4120)),
            status: StatusCode::OK,
            bytes: 12,
        }
    }

    #[test]
    fn the_common_format_is_the_common_format() {
        let expected =
            "192.0.2.1 - - [29/Feb/2024:12:34:56 +0000] \"GET /a?b=%22c HTTP/1.1\" 200 12";
        assert_eq!(entry().line(LogFormat::Common), expected);
    }

    #[test]
    fn the_combined_format_cannot_be_forged() {
        assert!(
            entry()
                .line(LogFormat::Combined)
                .ends_with(" 200 12 \"-\" \"x\\x22\\xff\"")
        );
    }

    #[test]
    fn a_json_line_says_who_served_it() {
        let line: serde_json::Value = serde_json::from_str(&entry().line(LogFormat::Json)).unwrap();
        assert_eq!(line["time"], "2024-02-29T12:34:56.789Z");
        assert_eq!(line["app"], "blog");
        assert_eq!(line["pid"], 4120);
        assert_eq!(line["request_id"], "id-1");
        assert_eq!(line["status"], 200);
    }

    #[test]
    fn dates_are_gregorian() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(11_017), (2000, 3, 1));
        assert_eq!(civil(47_540), (2100, 2, 28));
        assert_eq!(civil(47_541), (2100, 3, 1));
    }

    #[test]
    fn a_rotated_file_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let config = AccessLog::File {
            path: path.clone(),
            format: LogFormat::Common,
        };
        let log = AccessLogger::start(&config).unwrap().unwrap();
        log.write(entry());
        let old = dir.path().join("access.log.1");
        std::fs::rename(&path, &old).unwrap();
        log.reopen();
        log.write(entry());
        let deadline = Instant::now() + Duration::from_secs(10);
        let lines = |path: &Path| {
            std::fs::read_to_string(path)
                .unwrap_or_default()
                .lines()
                .count()
        };
        while lines(&path) < 1 || lines(&old) < 1 {
            assert!(Instant::now() < deadline, "the lines did not arrive");
            std::thread::yield_now();
        }
    }
}
