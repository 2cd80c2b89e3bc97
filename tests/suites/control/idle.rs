//! Connections to the control socket that ask for nothing.

use crate::harness::Site;
use std::io::Write;
use std::os::unix::net::UnixStream;

#[test]
fn who_forgets_to_close_connections_keeps_nobody_out() {
    let paster = Site::new().actor("home", "/").serve();
    paster.allow_log("as many connections to the control socket");
    let socket = paster.site().run_dir().join("control.sock");
    let half: &[u8] = b"POST /v1/command HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{";
    for said in [&b""[..], half] {
        let connect = |_| {
            let mut stream = UnixStream::connect(&socket).expect("room in the kernel");
            stream.write_all(said).expect("sent");
            stream
        };
        let forgotten: Vec<UnixStream> = (0..256).map(connect).collect();
        let status = paster.command_in_background(&["status"]);
        paster.wait_for("an answer", || status.is_finished());
        status.join().expect("it does not panic").succeeded();
        drop(forgotten);
    }
}
