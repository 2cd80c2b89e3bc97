//! A server that the test runs itself, and paster in front of it.

use super::{Paster, Site};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// Has each connection served in a thread of its own, for as long as the test runs.
pub(crate) fn served(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    serve_on(listener, serve);
    address
}

/// The same where the test has chosen the address.
pub(crate) fn serve_on(listener: TcpListener, serve: impl Fn(TcpStream) + Send + Sync + 'static) {
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
}

/// Paster with these settings in `[isolate]`, and with room for more requests at once than a test makes.
pub(crate) fn front(backend: SocketAddr, settings: &str) -> Paster {
    let ini = format!(
        "[server:main]\nuse = egg:waitress#main\nhost = 127.0.0.1\nport = 0\n\
         [app:main]\nuse = http://{backend}\n[isolate]\nthreads = 200\n{settings}\n"
    );
    Site::new().ini(&ini).serve()
}
