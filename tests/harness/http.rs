//! A small HTTP/1.1 client that hides nothing: what arrives is what is returned.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A read that takes longer than this is a failure of what is tested.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) reason: String,
    /// In the order of arrival, names as sent.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The first field of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The connection can carry another request.
    fn keeps_alive(&self) -> bool {
        !self
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// One connection, kept alive.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    /// The last response allows another request.
    pub(crate) reusable: bool,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.set_write_timeout(Some(READ_TIMEOUT))?;
        Ok(Connection {
            stream: BufReader::new(stream),
            reusable: true,
        })
    }

    /// Bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// A whole request with a `Host` and, where there is a body, its `Content-Length`.
    pub(crate) fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            head.push_str("Host: localhost\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method == "POST" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.send(&bytes)?;
        self.response_to(method)
    }

    pub(crate) fn get(&mut self, target: &str) -> io::Result<Response> {
        self.request("GET", target, &[], b"")
    }

    /// Reads the response to a GET.
    pub(crate) fn response(&mut self) -> io::Result<Response> {
        self.response_to("GET")
    }

    /// Reads the final response to a request with this method; interim ones (1xx) are passed over.
    pub(crate) fn response_to(&mut self, method: &str) -> io::Result<Response> {
        loop {
            let mut response = self.head()?;
            if (100..200).contains(&response.status) && response.status != 101 {
                continue;
            }
            let bodyless = method == "HEAD" || matches!(response.status, 101 | 204 | 304);
            self.reusable = response.keeps_alive();
            if !bodyless {
                response.body = self.body(&response)?;
            }
            return Ok(response);
        }
    }

    /// Status line and fields, without the body.
    pub(crate) fn head(&mut self) -> io::Result<Response> {
        let line = self.line()?;
        let mut parts = line.splitn(3, ' ');
        let (version, status) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let status = status
            .parse()
            .ok()
            .filter(|_| version.starts_with("HTTP/1."));
        let status = status.ok_or_else(|| strange(&format!("not a status line: {line:?}")))?;
        let reason = parts.next().unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Response {
                    status,
                    reason,
                    headers,
                    body: Vec::new(),
                });
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| strange(&format!("not a field: {line:?}")))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    fn body(&mut self, response: &Response) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if response
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            loop {
                let line = self.line()?;
                let size = line.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(size, 16)
                    .map_err(|_| strange(&format!("not a chunk size: {line:?}")))?;
                if size == 0 {
                    while !self.line()?.is_empty() {}
                    return Ok(body);
                }
                self.exactly(size, &mut body)?;
                self.line()?;
            }
        }
        match response.header("content-length") {
            Some(length) => {
                let length = length
                    .parse()
                    .map_err(|_| strange("Content-Length is no number"))?;
                self.exactly(length, &mut body)?;
            }
            None => {
                self.reusable = false;
                self.stream.read_to_end(&mut body)?;
            }
        }
        Ok(body)
    }

    /// So many bytes more, appended.
    pub(crate) fn exactly(&mut self, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
        let read = (&mut self.stream).take(length).read_to_end(body)?;
        if read as u64 == length {
            Ok(())
        } else {
            Err(ended("in a body"))
        }
    }

    /// A line without its end; the next body bytes are still to be read.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(ended("in a head"));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// So many bytes of a body.
    pub(crate) fn bytes(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.exactly(length, &mut bytes)?;
        Ok(bytes)
    }

    /// Everything until the other side closes.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }
}

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn ended(place: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the connection ended {place}"),
    )
}
