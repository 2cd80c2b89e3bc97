//! Deaths that nobody asked for: what is known of them when they happen, what the proxies add, and the crash report that
//! is kept.
//!
//! The proxies know which requests were in flight. They tell each one before they say that the worker is drained, so a
//! report is complete when all of them have said so; one that is slow is not waited for.

use super::app::{AppRun, Live};
use super::ending::{Ending, Sentence};
use super::{Driver, IDS_PER_APP};
use crate::control::kinds;
use crate::keeper::message::{Ended, Exit};
use crate::reports::report::{
    self, CrashReport, ExitFacts, Kind, MAX_REQUESTS, Progress, RefusedRequest, RequestFacts,
    SCHEMA_VERSION, seconds, timestamp,
};
use crate::router::message::{Death, InFlight, WorkerId};
use crate::supervise::backoff::Verdict;
use crate::supervise::deadly::{DeadlyPolicy, Refusal};
use crate::supervise::machine::{Next, Report};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant, SystemTime};

/// How long the proxies are waited for.
const PROXIES_WAIT: Duration = Duration::from_millis(300);

/// A report that is complete but for what the proxies have to say.
pub(super) struct Draft {
    pub(super) report: CrashReport,
    /// How many reports of its app are kept; 0: not even this one.
    keep: usize,
    worker: WorkerId,
    last_named: u64,
}

impl Draft {
    /// What people find it by.
    pub(super) fn name(&self) -> Option<&str> {
        (self.keep > 0).then_some(&*self.report.id)
    }
}

/// A draft that waits for the proxies.
pub(super) struct Pending {
    draft: Draft,
    app: u64,
    deadline: Instant,
}

/// What comes after a failure, in words.
pub(super) fn decision(next: Next) -> String {
    let Some(Verdict { delay, failed }) = next else {
        return "its generation is given up; the old one serves on".to_owned();
    };
    let when = match delay {
        Duration::ZERO => "now".to_owned(),
        delay if delay < Duration::from_secs(1) => format!("in {}ms", super::millis(delay)),
        delay => format!("in {delay:.1?}"),
    };
    if failed {
        format!("crash loop, the app is failed; next start {when}")
    } else {
        format!("next start {when}")
    }
}

fn kind(exit: Exit) -> Kind {
    match exit {
        Exit::Code(_) => Kind::Exit,
        Exit::Signal(_) => Kind::Signal,
        Exit::OverMemory(_) => Kind::OverMemory,
        Exit::Unknown => Kind::KeeperLost,
    }
}

fn exit_facts(ended: &Ended) -> ExitFacts {
    match ended.exit {
        Exit::Code(code) => ExitFacts {
            status: Some(code),
            ..ExitFacts::default()
        },
        Exit::Signal(number) => ExitFacts {
            signal: Some(number),
            signal_name: Signal::try_from(number).ok().map(|s| s.to_string()),
            core_dumped: ended.core_dumped,
            ..ExitFacts::default()
        },
        Exit::OverMemory(_) => ExitFacts {
            signal: Some(Signal::SIGKILL as i32),
            signal_name: Some(Signal::SIGKILL.to_string()),
            ..ExitFacts::default()
        },
        Exit::Unknown => ExitFacts::default(),
    }
}

fn refused(refusal: &Refusal) -> RefusedRequest {
    RefusedRequest {
        method: refusal.method.clone(),
        path: refusal.path.clone(),
        deaths: refusal.deaths,
        refused_s: seconds(refusal.pause),
    }
}

impl AppRun {
    fn deadly_policy(&self) -> DeadlyPolicy {
        DeadlyPolicy {
            limit: self.spec.settings.deadly_requests,
            pause: self.spec.settings.deadly_pause,
        }
    }

    /// What the worker is going to be ended for; it will leave a report.
    pub(super) fn condemn(
        &mut self,
        id: WorkerId,
        kind: Kind,
        why: String,
        decision: String,
    ) -> Option<&Sentence> {
        let kept = self.spec.settings.keep_reports > 0;
        let live = self.live.get_mut(&id)?;
        live.note(&why);
        live.sentence = Some(Sentence {
            kind,
            why,
            decision,
            report: kept.then(report::new_id),
        });
        live.sentence.as_ref()
    }

    /// The crash report of what the machine tells, if that is a death that nobody asked for.
    pub(super) fn draft(&self, report: &Report) -> Option<Draft> {
        let (Report::Crashed { id, .. }
        | Report::GaveUp { id, .. }
        | Report::Stopped { id, .. }
        | Report::SpawnFailed { id, .. }) = report
        else {
            return None;
        };
        let ending = self.last_ending.as_ref().filter(|e| e.id == *id)?;
        let name = &self.spec.name;
        let (kind, what, decision) = match report {
            Report::Crashed { exit, next, .. } => {
                (kind(*exit), ending.story(name, *exit), decision(*next))
            }
            Report::GaveUp { exit, .. } => (
                kind(*exit),
                ending.story(name, *exit),
                "not started again until the app is restarted or changed".to_owned(),
            ),
            Report::SpawnFailed { error, next, .. } => (
                Kind::StartFailure,
                format!("worker {} of {name} {error}", ending.slot),
                decision(*next),
            ),
            Report::Stopped { exit, .. } => {
                let (kind, decision) = match &ending.sentence {
                    Some(sentence) => (sentence.kind, sentence.decision.clone()),
                    None if ending.is_unasked(*exit) => {
                        (kind(*exit), "none; it was to end anyway".to_owned())
                    }
                    None => return None,
                };
                (kind, ending.story(name, *exit), decision)
            }
            _ => return None,
        };
        Some(self.drafted(ending, kind, what, decision))
    }

    fn drafted(&self, ending: &Ending, kind: Kind, what: String, decision: String) -> Draft {
        let usage = ending.ended.and_then(|ended| ended.usage);
        let cpu = |ms| seconds(Duration::from_millis(ms));
        let id = ending.sentence.as_ref().and_then(|s| s.report.clone());
        let report = CrashReport {
            schema_version: SCHEMA_VERSION,
            id: id.unwrap_or_else(report::new_id),
            time: timestamp(SystemTime::now() - ending.at.elapsed()),
            app: self.spec.name.clone(),
            slot: ending.slot,
            generation: ending.generation,
            pid: ending.pid,
            kind,
            what,
            exit: ending.ended.as_ref().map(exit_facts).unwrap_or_default(),
            why: ending.sentence.as_ref().map(|s| s.why.clone()),
            decision,
            uptime_s: seconds(ending.lived),
            max_rss_bytes: usage.map(|usage| usage.max_rss_bytes),
            cpu_user_s: usage.map(|usage| cpu(usage.user_ms)),
            cpu_system_s: usage.map(|usage| cpu(usage.system_ms)),
            oom_kills: ending.oom_kills,
            requests: (ending.lost.requests.iter().map(|lost| lost.facts.clone())).collect(),
            requests_omitted: ending.lost.omitted,
            refused: ending.refused.clone(),
            steps: ending.journey.steps().to_vec(),
            steps_omitted: ending.journey.omitted(),
            output: ending.output.clone(),
            count: 1,
            repeats: Vec::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Draft {
            report,
            keep: self.spec.settings.keep_reports as usize,
            worker: ending.id,
            last_named: ending.last_named,
        }
    }

    /// Kept for error pages and `paster status`.
    pub(super) fn note_death(&mut self, draft: &Draft) {
        let Some(ending) = &self.last_ending else {
            return;
        };
        self.last_death = Some(Death {
            worker: ending.id,
            what: draft.report.what.clone(),
            last_output: ending.last_output.clone(),
        });
        self.last_report = draft.name().map(str::to_owned);
    }

    /// These requests were in flight, without an answer, when `worker` died or hung.
    fn suspect<'a>(
        &mut self,
        worker: WorkerId,
        unanswered: impl Iterator<Item = &'a RequestFacts>,
        report: Option<&str>,
    ) -> Vec<RefusedRequest> {
        let policy = self.deadly_policy();
        let names = unanswered.map(|request| (&*request.method, &*request.path));
        let refusals = self.deadly.died(worker, names, Instant::now(), &policy);
        for Refusal {
            method,
            path,
            deaths,
            pause,
        } in &refusals
        {
            tracing::warn!(
                name: kinds::REQUEST_REFUSED,
                app = %self.spec.name,
                report = report.map(tracing::field::display),
                "`{method} {path}` was in flight at {deaths} deaths in a row; it gets 503 for {pause:?}"
            );
        }
        refusals.iter().map(refused).collect()
    }
}

impl Driver {
    /// When a report is no longer to wait for the proxies.
    pub(super) fn reports_due(&self) -> Option<Instant> {
        self.pending.iter().map(|pending| pending.deadline).min()
    }

    pub(super) fn await_requests(&mut self, app: u64, draft: Draft) {
        let deadline = Instant::now() + PROXIES_WAIT;
        self.pending.push(Pending {
            draft,
            app,
            deadline,
        });
    }

    /// A proxy had a request on a worker that closed the connection: it was in flight, if the worker has died.
    pub(super) fn request_lost(&mut self, worker: WorkerId, request: &InFlight) {
        let progress = match request.answering {
            true => Progress::Answering,
            false => Progress::Waiting,
        };
        let facts = facts(request, progress);
        let now = Instant::now();
        if let Some(live) = self.live(worker) {
            if live.sentence.is_none() {
                live.lost.forget_older(now);
            }
            live.lost.push(facts, now);
        } else if let Some(pending) = self.pending.iter_mut().find(|p| p.draft.worker == worker) {
            let report = &mut pending.draft.report;
            if report.requests.len() < MAX_REQUESTS {
                report.requests.push(facts);
            } else {
                report.requests_omitted += 1;
            }
        }
    }

    /// A worker hangs at this request; its client has been answered.
    pub(super) fn request_hung(&mut self, worker: WorkerId, request: &InFlight) {
        let facts = facts(request, Progress::TimedOut);
        let Some(app) = self.apps.get_mut(&(worker / IDS_PER_APP)) else {
            return;
        };
        let Some(live) = app.live.get_mut(&worker) else {
            return;
        };
        let Some(sentence) = live.sentence.clone() else {
            return; // it was on its way out before
        };
        live.lost.push(facts.clone(), Instant::now());
        if live.generation != app.machine.generation() {
            return;
        }
        let refused = app.suspect(worker, [&facts].into_iter(), sentence.report.as_deref());
        if let Some(live) = app.live.get_mut(&worker) {
            live.refused.extend(refused);
        }
        self.dirty = true;
    }

    /// A proxy has seen an answer to a suspect.
    pub(super) fn request_answered(&mut self, app: &str, method: &str, path: &str) {
        let number = self.numbers.get(app);
        if let Some(app) = number.and_then(|number| self.apps.get_mut(number)) {
            self.dirty |= app.deadly.answered(method, path);
        }
    }

    fn live(&mut self, worker: WorkerId) -> Option<&mut Live> {
        let app = self.apps.get_mut(&(worker / IDS_PER_APP))?;
        app.live.get_mut(&worker)
    }

    /// Whether anything is still to be heard of this worker.
    pub(super) fn is_known(&self, worker: WorkerId) -> bool {
        let app = self.apps.get(&(worker / IDS_PER_APP));
        app.is_some_and(|app| app.live.contains_key(&worker))
            || self.pending.iter().any(|p| p.draft.worker == worker)
    }

    /// Sends the complete reports to the disk, and draws the conclusions.
    pub(super) fn finish_reports(&mut self) {
        let now = Instant::now();
        let (done, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|p| {
                p.deadline <= now
                    || self
                        .proxies
                        .have_drained(p.draft.worker, p.draft.last_named)
            });
        self.pending = waiting;
        for pending in done {
            self.finish_report(pending);
        }
    }

    /// The end of paster: what is not known by now will not be.
    pub(super) async fn flush_reports(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            self.finish_report(pending);
        }
        self.writer.finish().await;
    }

    fn finish_report(&mut self, pending: Pending) {
        let Pending { draft, app, .. } = pending;
        let name = draft.name().map(str::to_owned);
        let Draft {
            mut report,
            keep,
            worker,
            ..
        } = draft;
        self.proxies.forget(worker);
        let waited = |request: &&RequestFacts| request.progress == Progress::Waiting;
        // An app that is gone by now kills no more.
        if let Some(app) = self.apps.get_mut(&app)
            && report.generation == app.machine.generation()
            && report.requests.iter().any(|request| waited(&request))
        {
            let unanswered = report.requests.iter().filter(waited);
            let refused = app.suspect(worker, unanswered, name.as_deref());
            report.refused.extend(refused);
            self.dirty |= app.spec.settings.deadly_requests.is_some();
        }
        if keep > 0 {
            self.writer.keep(report, keep, self.plan.apps.keys());
        }
    }
}

fn facts(request: &InFlight, progress: Progress) -> RequestFacts {
    RequestFacts::new(
        &request.method,
        &request.path,
        request.id.as_deref(),
        Duration::from_millis(request.age_ms),
        progress,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_in_words() {
        let after = |ms, failed| {
            let delay = Duration::from_millis(ms);
            decision(Some(Verdict { delay, failed }))
        };
        assert_eq!(after(104, false), "next start in 104ms");
        assert_eq!(after(0, false), "next start now");
        assert_eq!(
            after(28_300, true),
            "crash loop, the app is failed; next start in 28.3s"
        );
        assert!(decision(None).contains("given up"));
    }
}
