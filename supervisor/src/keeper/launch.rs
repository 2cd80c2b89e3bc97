//! Starting the worker: everything between fork and exec, as named steps, so that a failure says which.

use super::message::{CONFIG_FD, HOST_FD, Identity, KeeperSpec, LISTENER_FD};
use crate::confine::Failure;
use crate::confine::failure::failed;
use crate::confine::worker::Prepared;
use crate::sys::{child, fd, shortage};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Pid, Uid};
use std::convert::Infallible;
use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// Forks and executes the worker; returns its pid once the exec has succeeded.
/// `orders` is the socket by which a template is told what to fork.
pub(super) fn launch(
    spec: &KeeperSpec,
    prepared: Option<&Prepared>,
    orders: Option<BorrowedFd<'_>>,
) -> Result<Pid, Failure> {
    let argv = spec
        .argv
        .iter()
        .map(|arg| CString::new(arg.as_str()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Failure::new("arguments", "an argument contains a NUL character"))?;
    if argv.is_empty() {
        return Err(Failure::new("arguments", "there is no program to run"));
    }
    // The write end is close-on-exec: end of file means that the exec has succeeded.
    let (mut failure_reader, mut failure_writer) =
        std::io::pipe().map_err(|error| Failure::new("pipe", error))?;
    let keeper = Pid::this();
    let pid = child::fork(|| {
        let descriptors = (
            failure_writer.as_raw_fd(),
            orders.map(|orders| orders.as_raw_fd()),
        );
        let Err(failure) = become_worker(spec, prepared, &argv, keeper, descriptors);
        let text = format!("{}\n{}", failure.step, failure.error);
        let _ = shortage::write_all(&mut failure_writer, text.as_bytes());
    })
    .map_err(failed("fork"))?;
    drop(failure_writer);
    let mut text = String::new();
    let _ = failure_reader.read_to_string(&mut text);
    if text.is_empty() {
        return Ok(pid);
    }
    let _ = nix::sys::wait::waitpid(pid, None);
    let (step, error) = text.split_once('\n').unwrap_or((&text, ""));
    Err(Failure::new(step, error))
}

/// Runs in the child. Returns only on failure.
fn become_worker(
    spec: &KeeperSpec,
    prepared: Option<&Prepared>,
    argv: &[CString],
    keeper: Pid,
    (failure_fd, orders): (RawFd, Option<RawFd>),
) -> Result<Infallible, Failure> {
    child::reset_signals().map_err(failed("signals"))?;
    nix::unistd::setsid().map_err(failed("setsid"))?;
    if let Some(prepared) = prepared {
        prepared.enter()?;
    }
    for (name, limit) in &spec.limits {
        set_limit(name, *limit)?;
    }
    if let Some(nice) = spec.nice {
        child::set_nice(nice).map_err(failed(format!("nice {nice}")))?;
    }
    if let Some(umask) = spec.umask {
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(umask));
    }
    if spec.no_new_privileges {
        nix::sys::prctl::set_no_new_privs().map_err(failed("no_new_privileges"))?;
    }
    if let Some(prepared) = prepared {
        prepared.restrict()?;
    }
    if let Some(identity) = &spec.identity {
        assume(identity)?;
    }
    if let Some(directory) = &spec.directory {
        nix::unistd::chdir(directory).map_err(failed(format!(
            "change to directory {}",
            directory.display()
        )))?;
    }
    // After the change of identity, which clears it (prctl(2)); the keeper may have died before.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(failed("parent-death signal"))?;
    if Pid::parent() != keeper {
        return Err(Failure::new("parent-death signal", "the keeper is gone"));
    }
    place_descriptors(spec, failure_fd, orders)?;
    let env = environment(spec)?;
    let path = spec.env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
    let program = find_program(&spec.argv[0], path)?;
    if let Some(prepared) = prepared {
        prepared.filter()?;
    }
    nix::unistd::execve(&program, argv, &env)
        .map_err(failed(format!("execute {}", program.to_string_lossy())))
}

/// For good.
fn assume(identity: &Identity) -> Result<(), Failure> {
    let groups = identity.groups.iter().map(|gid| Gid::from_raw(*gid));
    let groups: Vec<Gid> = groups.collect();
    nix::unistd::setgroups(&groups).map_err(failed("setgroups"))?;
    nix::unistd::setgid(Gid::from_raw(identity.gid))
        .map_err(failed(format!("setgid {}", identity.gid)))?;
    nix::unistd::setuid(Uid::from_raw(identity.uid))
        .map_err(failed(format!("setuid {}", identity.uid)))
}

/// With the pid of this process, which the worker will have.
fn environment(spec: &KeeperSpec) -> Result<Vec<CString>, Failure> {
    let pid = spec
        .has_listener
        .then(|| ("LISTEN_PID".to_owned(), Pid::this().to_string()));
    let pid = pid.iter().map(|(key, value)| (key, value));
    let pair = |(key, value): (&String, &String)| {
        CString::new(format!("{key}={value}"))
            .map_err(|_| Failure::new("environment", format!("{key} contains a NUL character")))
    };
    spec.env.iter().chain(pid).map(pair).collect()
}

/// The worker sees its listener at 3, its configuration at 4, the source of the Python host at 5, and a template its orders
/// at 6.
fn place_descriptors(
    spec: &KeeperSpec,
    failure_fd: RawFd,
    orders: Option<RawFd>,
) -> Result<(), Failure> {
    let mut pairs = Vec::with_capacity(4);
    if spec.has_listener {
        pairs.push((LISTENER_FD, 3));
    }
    pairs.push((CONFIG_FD, 4));
    if spec.has_host {
        pairs.push((HOST_FD, 5));
    }
    pairs.extend(orders.map(|orders| (orders, 6)));
    if failure_fd < 7 || orders.is_some_and(|orders| orders < 7) {
        return Err(Failure::new(
            "descriptors",
            "those of the keeper are in the way",
        ));
    }
    fd::place(&pairs).map_err(failed("descriptors"))
}

/// What a shell uses when PATH is not set.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

fn find_program(name: &str, path: &str) -> Result<CString, Failure> {
    let found = if name.contains('/') {
        Some(std::path::PathBuf::from(name))
    } else {
        std::env::split_paths(path)
            .map(|dir| dir.join(name))
            .find(|candidate| {
                nix::unistd::access(candidate, nix::unistd::AccessFlags::X_OK).is_ok()
                    && candidate.is_file()
            })
    };
    let Some(found) = found else {
        return Err(Failure::new(
            "find the program",
            format!("`{name}` is not in PATH ({path})"),
        ));
    };
    CString::new(found.into_os_string().into_encoded_bytes())
        .map_err(|error| Failure::new("find the program", error))
}

fn set_limit(name: &str, limit: Option<u64>) -> Result<(), Failure> {
    let resource = match name {
        "nofile" => Resource::RLIMIT_NOFILE,
        "nproc" => Resource::RLIMIT_NPROC,
        "core" => Resource::RLIMIT_CORE,
        "as" => Resource::RLIMIT_AS,
        "cpu" => Resource::RLIMIT_CPU,
        "fsize" => Resource::RLIMIT_FSIZE,
        other => return Err(Failure::new("limits", format!("unknown limit `{other}`"))),
    };
    let value = limit.unwrap_or(RLIM_INFINITY);
    setrlimit(resource, value, value).map_err(failed(format!("limit_{name}")))
}
