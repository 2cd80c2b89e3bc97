//! System calls of paster that fail on purpose, by rate and seed, switched on and off while it runs.
//!
//! A library that interposes libc's functions (`tests/fixtures/faults/faults.c`) is compiled by the first test that needs it
//! and preloaded into the real program. It is told what to do by a file that both sides have mapped or open.

use super::Site;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Kinds of calls, in the order of `enum kind` in faults.c.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calls {
    /// fork(2), posix_spawn(3).
    Fork,
    Exec,
    /// pthread_create(3).
    Thread,
    Pipe,
    /// socket(2), socketpair(2), bind(2) of unix sockets.
    Socket,
    Accept,
    /// connect(2) to unix sockets.
    Connect,
    /// open(2), opendir(3), mkdir(2), and everything else that makes a descriptor: memfd, eventfd, signalfd, epoll, pidfd.
    Open,
    Dup,
    /// write(2) and send(2), but for standard output and error.
    Write,
    Read,
    /// epoll_ctl(2), epoll_wait(2).
    Epoll,
    /// waitpid(2), poll(2).
    Wait,
    /// write(2) to standard output and error.
    Log,
    /// getaddrinfo(3), which then waits until there are no faults.
    Lookup,
}

impl Calls {
    pub(crate) const ALL: [Calls; 15] = [
        Calls::Fork,
        Calls::Exec,
        Calls::Thread,
        Calls::Pipe,
        Calls::Socket,
        Calls::Accept,
        Calls::Connect,
        Calls::Open,
        Calls::Dup,
        Calls::Write,
        Calls::Read,
        Calls::Epoll,
        Calls::Wait,
        Calls::Log,
        Calls::Lookup,
    ];
}

/// The processes that are hit; `enum role` in faults.c.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Supervisor = 1,
    Proxy = 2,
    Keeper = 4,
}

/// What fails how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) role: Role,
    pub(crate) calls: &'a [Calls],
    /// Of a hundred calls.
    pub(crate) percent: u32,
    pub(crate) seed: u32,
}

/// `struct control` in faults.c: words of 32 bits.
const ROLES: u64 = 0;
const SEED: u64 = 1;
const RATES: u64 = 2;
const HITS: u64 = RATES + Calls::ALL.len() as u64 + 1;
const ERRORS: u64 = HITS + Calls::ALL.len() as u64;
const WORDS: u64 = ERRORS + 256;

/// The faults of one site.
pub(crate) struct Faults {
    control: File,
}

impl Faults {
    /// Prepares `site` for faults. There are none before [`Faults::begin`].
    pub(crate) fn prepare(site: Site) -> (Faults, Site) {
        let path = site.path("faults");
        let control = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .expect("a file in the site");
        control.set_len(WORDS * 4).expect("a file in the site");
        let site = site
            .variable("LD_PRELOAD", &library().display().to_string())
            .variable("PASTER_TEST_FAULTS", &path.display().to_string());
        (Faults { control }, site)
    }

    /// From now on calls fail.
    pub(crate) fn begin(&self, plan: Plan) {
        self.put(SEED, plan.seed);
        for (index, calls) in (0..).zip(Calls::ALL) {
            let rate = if plan.calls.contains(&calls) {
                plan.percent * 10_000
            } else {
                0
            };
            self.put(RATES + index, rate);
        }
        self.put(ROLES, plan.role as u32);
    }

    /// No call fails any more.
    pub(crate) fn end(&self) {
        self.put(ROLES, 0);
    }

    /// How many calls of each kind failed.
    pub(crate) fn hits(&self) -> Vec<(Calls, u32)> {
        (0..)
            .zip(Calls::ALL)
            .map(|(index, calls)| (calls, self.get(HITS + index)))
            .filter(|(_, hits)| *hits > 0)
            .collect()
    }

    /// Whether a call of this kind failed.
    pub(crate) fn hit(&self, calls: Calls) -> bool {
        self.hits().iter().any(|(hit, _)| *hit == calls)
    }

    /// How many calls failed with this errno.
    pub(crate) fn with(&self, errno: nix::errno::Errno) -> u32 {
        self.get(ERRORS + u64::try_from(errno as i32).expect("errors are positive"))
    }

    fn put(&self, word: u64, value: u32) {
        self.control
            .write_all_at(&value.to_ne_bytes(), word * 4)
            .expect("the file has this size");
    }

    fn get(&self, word: u64) -> u32 {
        let mut bytes = [0; 4];
        self.control
            .read_exact_at(&mut bytes, word * 4)
            .expect("the file has this size");
        u32::from_ne_bytes(bytes)
    }
}

/// The library, compiled once by whoever needs it first. Rust's own linker is `cc`, so there is one.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/faults/faults.c"
        );
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Another test program may do the same at this time: each writes its own file, the last name stays.
        let own = directory.join(format!("libfaults-{}.so", std::process::id()));
        let library = directory.join("libfaults.so");
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"])
            .arg("-o")
            .arg(&own)
            .args([source, "-ldl"])
            .output()
            .expect("a C compiler: install gcc");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cannot compile {source}: {errors}");
        fs::rename(&own, &library).expect("our own file");
        library
    })
}
