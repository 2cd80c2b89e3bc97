//! A running site as a client sees it: which app answers, with which SCRIPT_NAME and PATH_INFO.

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longer than anything here takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// An app that tells what it was called with.
const PAIR: &str = r#"
import json

def make(global_conf, number):
    def app(environ, start_response):
        told = {"app": "app" + number, "script_name": environ["SCRIPT_NAME"], "path_info": environ["PATH_INFO"]}
        body = json.dumps(told).encode("ascii")
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]
    return app
"#;

/// `paster serve --isolate` on `main.ini` of a directory, whose apps are `call:pair:make`.
pub(crate) struct Served {
    child: Child,
    address: SocketAddr,
}

impl Served {
    pub(crate) fn start(directory: &Path) -> Served {
        fs::write(directory.join("pair.py"), PAIR).expect("write the app");
        let mut child = Command::new(env!("CARGO_BIN_EXE_paster"))
            .args(["serve", "--isolate", "main.ini", "--listen", "127.0.0.1:0"])
            .arg("--run-dir")
            .arg(directory.join("run"))
            .arg("--state-dir")
            .arg(directory.join("state"))
            .env("PYTHONPATH", directory)
            .current_dir(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("run paster");
        let stderr = child.stderr.take().expect("it is piped");
        let mut lines = BufReader::new(stderr).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let url = line.trim().strip_prefix("listening on")?.trim().to_owned();
                let address = url.strip_prefix("http://")?.trim_end_matches('/');
                address.parse().ok()
            })
            .expect("it says where it listens");
        // What it says later is nobody's business, but has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Served { child, address }
    }

    /// What the app tells; `null` where there is none.
    pub(crate) fn ask(&self, host: &str, target: &str) -> Value {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a connected socket");
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
        match head.split(' ').nth(1) {
            Some("200") => serde_json::from_str(body).expect("the app speaks JSON"),
            Some("404") => Value::Null,
            _ => panic!("{host} {target}: {answer}"),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        let pid = nix::unistd::Pid::from_raw(pid);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}
