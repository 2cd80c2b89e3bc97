//! Who may give commands.

use super::json;
use crate::harness::Site;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Asks for the status as somebody may who has a socket and nothing of ours.
const STRANGER: &str = r#"
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"POST /v1/command HTTP/1.1\r\nHost: paster\r\nContent-Length: 20\r\n\r\n" + b'{"command":"reload"}')
data = b""
while True:
    piece = s.recv(4096)
    if not piece:
        break
    data += piece
    if b"\n" in data.partition(b"\r\n\r\n")[2]:
        break
sys.stdout.write(data.decode())
"#;

#[test]
fn another_user_is_refused_and_told_so() {
    if !nix::unistd::geteuid().is_root() {
        return; // Only root can be somebody else.
    }
    let paster = Site::new().actor("home", "/").serve();
    paster.expect_log("refused a control connection: user 65534 may not give commands");
    let socket = paster.site().run_dir().join("control.sock");
    let mode = fs::metadata(&socket).expect("it is there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    // Somebody widens what we keep narrow.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("ours");
    let run_dir = paster.site().run_dir();
    fs::set_permissions(&run_dir, fs::Permissions::from_mode(0o755)).expect("ours");
    let answer = Command::new("python3")
        .args(["-c", STRANGER])
        .arg(&socket)
        .current_dir("/")
        .uid(65534)
        .gid(65534)
        .output()
        .expect("python3 is there");
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(
        answer.contains("user 65534 may not give commands to this paster"),
        "{answer}"
    );
    let events = paster.command(&["events", "-n", "1", "--json"]).succeeded();
    assert_eq!(json(&events)["kind"], "control_refused", "{events:#?}");
    assert_eq!(paster.get("/").status, 200);
}
