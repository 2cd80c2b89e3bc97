//! The same cases against nginx and HAProxy, where they are installed: how many each of them fails.

use super::SUBJECTS;
use super::backend::Backend;
use super::run::{Measure, run};
use crate::harness::{DEADLINE, poll};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server that is ended when it is dropped.
struct Other {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn nginx(backend: SocketAddr, front: SocketAddr, dir: &Path) -> Command {
    let here = dir.display();
    let text = format!(
        "daemon off; master_process off; pid {here}/pid; error_log {here}/error.log;\n\
         events {{ worker_connections 500; }}\n\
         http {{ access_log off; client_body_temp_path {here}; proxy_temp_path {here}; fastcgi_temp_path {here};\n\
         uwsgi_temp_path {here}; scgi_temp_path {here};\n\
         map $http_upgrade $hop {{ default upgrade; '' ''; }}\n\
         upstream backend {{ server {backend}; keepalive 32; }}\n\
         server {{ listen {front}; client_max_body_size 0; proxy_http_version 1.1; proxy_request_buffering off;\n\
         proxy_buffering off; location / {{ proxy_pass http://backend; proxy_set_header Host $http_host;\n\
         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $hop; }} }} }}\n"
    );
    fs::write(dir.join("nginx.conf"), text).expect("our own directory");
    let mut command = Command::new("nginx");
    command
        .arg("-c")
        .arg(dir.join("nginx.conf"))
        .arg("-p")
        .arg(dir);
    command
}

fn haproxy(backend: SocketAddr, front: SocketAddr, dir: &Path) -> Command {
    let text = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
         frontend front\n bind {front}\n default_backend back\nbackend back\n server one {backend}\n"
    );
    fs::write(dir.join("haproxy.cfg"), text).expect("our own directory");
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(dir.join("haproxy.cfg"));
    command
}

type Configure = fn(SocketAddr, SocketAddr, &Path) -> Command;

/// None where it is not installed.
fn start(configure: Configure, backend: SocketAddr) -> Option<Other> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let child = configure(backend, address, dir.path())
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let other = Other {
        child,
        address,
        _dir: dir,
    };
    poll(DEADLINE, || TcpStream::connect(address).ok()).ok()?;
    Some(other)
}

/// Prints a table; never fails.
#[test]
#[ignore = "about other servers: see docs/testing.md"]
fn other_servers() {
    let others: [(&str, Configure); 2] = [("nginx", nginx), ("haproxy", haproxy)];
    let verbose = std::env::var_os("PASTER_TEST_VERBOSE").is_some();
    let mut table = String::new();
    for (name, configure) in others {
        for (subject, cases) in SUBJECTS {
            let backend = Backend::start(cases);
            let Some(other) = start(configure, backend.address) else {
                table += &format!("{name:10} is not installed\n");
                break;
            };
            // What asked whether it serves.
            backend.forget();
            let findings = run(cases, other.address, &backend, Measure::Fair);
            let names: Vec<_> = findings.iter().map(|(name, _)| *name).collect();
            table += &format!(
                "{name:10} {subject:12} {:3} of {:3} fail: {}\n",
                findings.len(),
                cases.len(),
                names.join(", ")
            );
            if verbose {
                findings.iter().for_each(|(_, text)| table += text);
            }
        }
    }
    show(&table);
}

#[expect(clippy::print_stdout, reason = "it is what this is for")]
fn show(table: &str) {
    println!("{table}");
}
