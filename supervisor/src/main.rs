//! The `paster` program. One binary, four roles: what a user runs, the front proxy, the keeper of a worker, and a probe of what
//! the kernel permits.

fn main() -> std::process::ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(paster::keeper::ROLE) => paster::keeper::main(),
        Some(paster::confine::probe::ROLE) => paster::confine::probe::main(),
        Some(paster::router::message::PROXY_ROLE) => paster::proxy::main(),
        _ => paster::cli::main(),
    }
}
