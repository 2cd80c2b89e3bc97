//! The `paster` program. One binary, three roles: what a user runs, the front proxy, the keeper of a worker.

fn main() -> std::process::ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(paster::keeper::ROLE) => paster::keeper::main(),
        Some(paster::router::message::PROXY_ROLE) => paster::proxy::main(),
        _ => paster::cli::main(),
    }
}
