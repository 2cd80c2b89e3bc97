//! nginx and HAProxy, where they are installed.

use crate::harness::{DEADLINE, poll};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server that is ended when it is dropped.
pub(super) struct Other {
    child: Child,
    pub(super) address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a front speaks to its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    /// By prior knowledge.
    Http2,
}

fn nginx(backend: SocketAddr, front: SocketAddr, dir: &Path, speaks: Speaks) -> Command {
    let here = dir.display();
    let version = match speaks {
        Speaks::Http1 => "",
        Speaks::Http2 => " http2",
    };
    let text = format!(
        "daemon off; master_process off; pid {here}/pid; error_log {here}/error.log;\n\
         events {{ worker_connections 500; }}\n\
         http {{ access_log off; client_body_temp_path {here}; proxy_temp_path {here}; fastcgi_temp_path {here};\n\
         uwsgi_temp_path {here}; scgi_temp_path {here};\n\
         map $http_upgrade $hop {{ default upgrade; '' ''; }}\n\
         upstream backend {{ server {backend}; keepalive 32; }}\n\
         server {{ listen {front}{version}; client_max_body_size 0; proxy_http_version 1.1; proxy_request_buffering off;\n\
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

fn haproxy(backend: SocketAddr, front: SocketAddr, dir: &Path, speaks: Speaks) -> Command {
    let version = match speaks {
        Speaks::Http1 => "",
        Speaks::Http2 => " proto h2",
    };
    let text = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
         frontend front\n bind {front}{version}\n default_backend back\nbackend back\n server one {backend}\n"
    );
    fs::write(dir.join("haproxy.cfg"), text).expect("our own directory");
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(dir.join("haproxy.cfg"));
    command
}

type Configure = fn(SocketAddr, SocketAddr, &Path, Speaks) -> Command;

/// Those that may be installed.
pub(super) const OTHERS: [(&str, Configure); 2] = [("nginx", nginx), ("haproxy", haproxy)];

/// None where it is not installed.
pub(super) fn start(configure: Configure, backend: SocketAddr, speaks: Speaks) -> Option<Other> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let child = configure(backend, address, dir.path(), speaks)
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

#[expect(clippy::print_stdout, reason = "it is what this is for")]
pub(super) fn show(table: &str) {
    println!("{table}");
}
