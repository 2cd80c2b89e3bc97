//! The words of the state machine: what a worker can be, what can happen, what is to be done.

use crate::keeper::message::Exit;
use crate::plan::spec::Restart;
use crate::plan::units::show_size;
use crate::supervise::backoff::{BackoffPolicy, Verdict};
use crate::supervise::scaling::{Bounds, Change, Load};
use crate::supervise::upgrade::moment;
use crate::sys::wait::End;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

pub use crate::router::message::WorkerId;

/// Exit statuses that say "do not start me again": EX_CONFIG (sysexits(3)) and 125 (as in s6).
pub const GIVE_UP_STATUSES: [i32; 2] = [78, 125];

/// What the machine must know of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub processes: u32,
    pub start_timeout: Duration,
    pub min_healthy: Duration,
    pub drain_timeout: Duration,
    pub stop_timeout: Duration,
    pub restart: Restart,
    pub backoff: BackoffPolicy,
    /// On demand: without a process until a request comes, and again after this time without one.
    pub idle_timeout: Option<Duration>,
    /// A ready worker that has not pinged for so long hangs.
    pub watchdog: Option<Duration>,
    /// A worker is replaced after this time as ready, give or take a tenth.
    pub max_lifetime: Option<Duration>,
    /// Its health is checked: a worker serves when a check has succeeded, and hangs when several in a row have failed.
    pub health: bool,
    /// As many processes as this, if requests wait; not fewer than `processes`.
    pub max_processes: u32,
    /// Requests that a worker is given at the same time.
    pub threads: u32,
    /// For so long one process fewer must have been enough.
    pub scale_down_after: Duration,
}

impl Policy {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            least: self.processes,
            most: self.max_processes.max(self.processes),
            threads: self.threads,
            calm: self.scale_down_after,
        }
    }
}

/// One worker process, from the decision to start it to the report of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    pub slot: u32,
    pub generation: u64,
    pub state: WorkerState,
    /// The last sign of life: became ready, or pinged its watchdog.
    #[serde(with = "moment")]
    pub alive: Instant,
    /// When it is to be replaced because of its age.
    #[serde(with = "moment::option")]
    pub(super) retires_at: Option<Instant>,
    /// It serves until its successor is ready.
    pub(super) recycling: bool,
    /// Health checks that failed, in a row.
    pub(super) failed_checks: u32,
}

/// What a worker is doing. Each state that waits for something has a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Not ready yet; failed at the deadline.
    Starting {
        #[serde(with = "moment")]
        deadline: Instant,
    },
    /// Ready, but not for `min_healthy` yet; with health checks: not healthy for so long yet.
    Proving {
        #[serde(with = "moment")]
        since: Instant,
        /// Since when its health checks succeed.
        #[serde(with = "moment::option")]
        healthy: Option<Instant>,
        /// It must be healthy by then.
        #[serde(with = "moment")]
        deadline: Instant,
    },
    /// In the route table.
    Ready {
        #[serde(with = "moment")]
        since: Instant,
    },
    /// Out of the table; requests in flight finish.
    Draining {
        #[serde(with = "moment")]
        deadline: Instant,
    },
    /// SIGTERM was sent.
    Stopping {
        #[serde(with = "moment")]
        deadline: Instant,
    },
    /// SIGKILL was sent.
    Killed,
}

impl Worker {
    /// Starting or serving: it fills its slot.
    pub(super) fn is_live(&self) -> bool {
        matches!(
            self.state,
            WorkerState::Starting { .. } | WorkerState::Proving { .. } | WorkerState::Ready { .. }
        )
    }

    /// It fills its slot for good: no successor is on its way.
    pub(super) fn holds_slot(&self) -> bool {
        self.is_live() && !self.recycling
    }

    /// In the route table.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, WorkerState::Ready { .. })
    }

    /// When a worker that says it is ready is taken at its word (true), or has not become healthy in time (false).
    pub(super) fn proof_due(&self, policy: &Policy) -> Option<(Instant, bool)> {
        let WorkerState::Proving {
            since,
            healthy,
            deadline,
        } = self.state
        else {
            return None;
        };
        match healthy {
            _ if !policy.health => Some((since + policy.min_healthy, true)),
            Some(healthy) => Some((healthy + policy.min_healthy, true)),
            None => Some((deadline, false)),
        }
    }
}

/// What happens to an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time has passed, or something outside changed; also the first event.
    Tick,
    /// Be running (again): forgets crashes and a stop by hand.
    Start,
    /// Have no process until further notice.
    Stop,
    /// Bring up a new generation and replace the present one by it.
    Rollout {
        generation: u64,
        policy: Policy,
    },
    /// The settings of supervision of a generation (the serving one, or that of the rollout) changed; processes stay.
    NewPolicy {
        generation: u64,
        policy: Policy,
    },
    /// The worker has said that it can serve.
    Ready(WorkerId),
    /// The worker asks for more time to start or stop, from now.
    Extend(WorkerId, Duration),
    /// The proxy has nothing in flight on it any more.
    Drained(WorkerId),
    /// A request waits for an app that sleeps.
    Wanted,
    /// The app has requests.
    Active,
    /// What the proxies say of its load.
    Load(Load),
    /// The worker has pinged its watchdog.
    Alive(WorkerId),
    /// A health check of the worker has succeeded.
    Healthy(WorkerId),
    /// A health check of the worker has failed; why, as in `answered with status 503`.
    Unhealthy(WorkerId, String),
    /// A request on the worker was over its time; the client has its answer.
    Hung(WorkerId, String),
    /// The worker has had its share (requests, memory): replace it first, then stop it.
    Recycle(WorkerId, String),
    /// The worker could not be started at all.
    SpawnFailed(WorkerId, String),
    Exited(WorkerId, Exit),
}

/// What the driver does for an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    Spawn {
        id: WorkerId,
        slot: u32,
        generation: u64,
    },
    /// SIGTERM.
    Terminate(WorkerId),
    /// SIGKILL, descendants included.
    Kill(WorkerId),
    /// Let it write where it hangs, if it can.
    Dump(WorkerId),
    /// What the route table says about this app has changed.
    Publish,
    /// Something that people should know.
    Report(Report),
    /// A rollout has ended: with the new generation serving, or with the reason why not.
    RolloutDone {
        generation: u64,
        result: Result<(), String>,
    },
}

/// What follows from a failure; none where it has ended the rollout of its generation, which is not started again.
pub type Next = Option<Verdict>;

/// Facts for the log and for error messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    Ready {
        id: WorkerId,
    },
    /// An exit that nobody asked for.
    Crashed {
        id: WorkerId,
        exit: Exit,
        next: Next,
    },
    SpawnFailed {
        id: WorkerId,
        error: String,
        next: Next,
    },
    /// It is killed.
    StartTimeout {
        id: WorkerId,
        timeout: Duration,
        /// It had said that it was ready, but no health check has succeeded.
        was_ready: bool,
        next: Next,
    },
    DrainTimeout {
        id: WorkerId,
    },
    StopTimeout {
        id: WorkerId,
    },
    /// It said by its exit status that it must not be started again.
    GaveUp {
        id: WorkerId,
        exit: Exit,
    },
    /// It gets no more requests and is replaced.
    Hung {
        id: WorkerId,
        why: String,
        next: Next,
    },
    /// Its successor is being started.
    Recycling {
        id: WorkerId,
        why: String,
    },
    /// It gets more processes, or fewer, because of its load.
    Scaled(Change),
    /// The app has no process until a request comes.
    Asleep,
    /// On demand, and a request has come.
    Woken,
    Stopped {
        id: WorkerId,
        exit: Exit,
    },
}

/// State of an app as shown by `paster status` (docs/cli.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppState {
    Starting,
    Ready,
    Degraded,
    Backoff,
    Failed,
    Stopped,
    /// On demand, without a process.
    Idle,
}

impl AppState {
    /// As `paster status` shows it.
    pub fn name(self) -> &'static str {
        match self {
            AppState::Starting => "starting",
            AppState::Ready => "ready",
            AppState::Degraded => "degraded",
            AppState::Backoff => "backoff",
            AppState::Failed => "failed",
            AppState::Stopped => "stopped",
            AppState::Idle => "idle",
        }
    }
}

/// `exited with status 3`, `was killed by signal 11 (SIGSEGV)`.
pub fn describe(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => End::Code(code).to_string(),
        Exit::Signal(number) => {
            let core_dumped = false;
            let end = End::Signal {
                number,
                core_dumped,
            };
            end.to_string()
        }
        Exit::OverMemory(limit) => format!(
            "was killed by signal 9 (SIGKILL): over cgroup_memory = {}",
            show_size(limit)
        ),
        Exit::Unknown => "ended with its keeper".to_owned(),
    }
}
