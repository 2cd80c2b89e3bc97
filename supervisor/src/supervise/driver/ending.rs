//! What is known of a worker when it ends.

use super::app::Live;
use crate::keeper::message::{Ended, Exit};
use crate::reports::report::{Kind, MAX_REQUESTS, OutputLine, RefusedRequest, RequestFacts};
use crate::supervise::journey::Journey;
use crate::supervise::machine::{WorkerId, WorkerState, describe};
use crate::supervise::upgrade::moment;
use crate::sys::oom;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Lines of a worker's output for those who asked for a start that failed, and for error pages.
const LAST_LINES: usize = 20;
/// A request that was lost so long before the death of its worker was lost to it; one that was lost earlier was not.
const DYING: Duration = Duration::from_secs(2);

/// Why a worker that still runs is ended by us.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sentence {
    pub(super) kind: Kind,
    pub(super) why: String,
    pub(super) decision: String,
    /// The name of the report that it will leave, if one is kept.
    pub(super) report: Option<String>,
}

/// Requests that a worker did not finish.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Lost {
    pub(super) requests: Vec<LostRequest>,
    pub(super) omitted: u64,
}

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LostRequest {
    #[serde(with = "moment")]
    at: Instant,
    pub(super) facts: RequestFacts,
}

impl Lost {
    pub(super) fn push(&mut self, facts: RequestFacts, at: Instant) {
        if self.requests.len() < MAX_REQUESTS {
            self.requests.push(LostRequest { at, facts });
        } else {
            self.omitted += 1;
        }
    }

    /// Forgets what was lost so long before `time` that it had other reasons: a server that now and then closes a
    /// connection collects nothing.
    pub(super) fn forget_older(&mut self, time: Instant) {
        self.requests
            .retain(|lost| time.saturating_duration_since(lost.at) <= DYING);
        if self.requests.is_empty() {
            self.omitted = 0;
        }
    }
}

/// What is left of a worker that has ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ending {
    pub(super) id: WorkerId,
    pub(super) slot: u32,
    pub(super) generation: u64,
    pub(super) pid: Option<u32>,
    #[serde(with = "moment")]
    pub(super) at: Instant,
    pub(super) lived: Duration,
    /// The last `STATUS=`, the health check that failed, or the step at which its start failed.
    pub(super) status: Option<String>,
    pub(super) last_output: Vec<String>,
    pub(super) output: Vec<OutputLine>,
    pub(super) journey: Journey,
    pub(super) lost: Lost,
    pub(super) refused: Vec<RefusedRequest>,
    pub(super) sentence: Option<Sentence>,
    /// None while it lives, and if it never did.
    pub(super) ended: Option<Ended>,
    /// What it was doing.
    state: Option<WorkerState>,
    pub(super) oom_kills: Option<u64>,
    pub(super) last_named: u64,
}

impl Ending {
    /// A worker that has ended `at` this moment, or is about to.
    pub(super) fn of(
        id: WorkerId,
        live: &Live,
        ended: Option<Ended>,
        state: Option<WorkerState>,
        at: Instant,
    ) -> Ending {
        let mut lost = live.lost.clone();
        if live.sentence.is_none() {
            lost.forget_older(at);
        }
        // The kernel's own way to make room.
        let may_be_oom = ended.is_some_and(|e| e.exit == Exit::Signal(Signal::SIGKILL as i32));
        let oom_kills = match (live.oom_kills, may_be_oom && live.sentence.is_none()) {
            (Some(before), true) => oom::oom_kills().map(|now| now.saturating_sub(before)),
            _ => None,
        };
        Ending {
            id,
            slot: live.slot,
            generation: live.generation,
            pid: live.pid,
            at,
            lived: at.saturating_duration_since(live.started),
            status: live.last_step(),
            last_output: live.last_lines(LAST_LINES),
            output: live.output(),
            journey: live.journey.clone(),
            lost,
            refused: live.refused.clone(),
            sentence: live.sentence.clone(),
            ended,
            state,
            oom_kills,
            last_named: live.last_named,
        }
    }

    /// A worker that never was: not even its keeper could be started.
    pub(super) fn unborn(id: WorkerId, slot: u32, generation: u64, error: &str) -> Ending {
        let mut journey = Journey::default();
        journey.note(Duration::ZERO, error);
        Ending {
            id,
            slot,
            generation,
            pid: None,
            at: Instant::now(),
            lived: Duration::ZERO,
            status: None,
            last_output: Vec::new(),
            output: Vec::new(),
            journey,
            lost: Lost::default(),
            refused: Vec::new(),
            sentence: None,
            ended: None,
            state: None,
            oom_kills: None,
            last_named: 0,
        }
    }

    /// It could serve.
    pub(super) fn was_ready(&self) -> bool {
        matches!(self.state, Some(WorkerState::Ready { .. }))
    }

    /// Nobody asked for this end, although the worker was on its way out.
    pub(super) fn is_unasked(&self, exit: Exit) -> bool {
        match self.state {
            Some(WorkerState::Draining { .. }) => true,
            // SIGTERM was sent; to die of another signal than those that end programs is a crash all the same.
            Some(WorkerState::Stopping { .. }) => match exit {
                Exit::Signal(number) => !matches!(
                    Signal::try_from(number),
                    Ok(Signal::SIGTERM | Signal::SIGKILL | Signal::SIGINT | Signal::SIGHUP)
                ),
                Exit::OverMemory(_) => true,
                Exit::Code(_) | Exit::Unknown => false,
            },
            _ => false,
        }
    }

    /// `worker 0 of blog (pid 4120), generation 1, was killed by signal 11 (SIGSEGV) after 4.2s`
    pub(super) fn story(&self, app: &str, exit: Exit) -> String {
        let pid = self.pid.map(|pid| format!(" (pid {pid})"));
        let why = self.sentence.as_ref().map(|s| format!("{} and ", s.why));
        let core = match self.ended {
            Some(ended) if ended.core_dumped => ", core dumped,",
            _ => "",
        };
        format!(
            "worker {} of {app}{}, generation {}, {}{}{core} after {:.1}s",
            self.slot,
            pid.unwrap_or_default(),
            self.generation,
            why.unwrap_or_default(),
            describe(exit),
            self.lived.as_secs_f64()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reports::report::Progress;

    #[test]
    fn requests_that_were_lost_long_before_are_not_remembered() {
        let now = Instant::now();
        let request = || RequestFacts::new("GET", "/", None, Duration::ZERO, Progress::Waiting);
        let mut lost = Lost::default();
        for _ in 0..100 {
            lost.push(request(), now);
        }
        assert_eq!((lost.requests.len(), lost.omitted), (MAX_REQUESTS, 68));
        lost.push(request(), now + 2 * DYING);
        lost.forget_older(now + 2 * DYING);
        assert_eq!((lost.requests.len(), lost.omitted), (0, 0));
        lost.push(request(), now + 2 * DYING);
        lost.forget_older(now + 2 * DYING);
        assert_eq!(lost.requests.len(), 1);
    }
}
