//! The machine of an app is fed, and what it decides is done.

use super::super::Driver;
use super::super::ending::{Ending, Lost};
use super::{AppRun, Live};
use crate::keeper::message::ToKeeper;
use crate::plan::spec::AppKind;
use crate::supervise::contract::Seat;
use crate::supervise::journey::Journey;
use crate::supervise::launch::{self, Site, Worker};
use crate::supervise::machine::{Effect, Event, WorkerId};
use crate::sys::oom;
use nix::sys::signal::Signal;
use std::time::Instant;

impl Driver {
    /// Feeds one event to a machine and carries out what follows.
    pub(in super::super) fn step(&mut self, number: u64, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let Some(app) = self.apps.get_mut(&number) else {
                return;
            };
            let effects = app.machine.step(event, Instant::now(), fastrand::f64());
            // A rollout that has nothing to protect takes over at once.
            if app
                .next
                .as_ref()
                .is_some_and(|(generation, _)| *generation == app.machine.generation())
            {
                app.spec = app.next.take().expect("just seen").1;
            }
            for effect in effects {
                if let Some(failed) = self.carry_out(number, effect) {
                    events.push(failed);
                }
            }
        }
    }

    fn carry_out(&mut self, number: u64, effect: Effect) -> Option<Event> {
        let app = self.apps.get_mut(&number)?;
        match effect {
            Effect::Spawn {
                id,
                slot,
                generation,
            } => {
                let failed = app.spawn(&self.site, number, (id, slot, generation));
                return failed.map(|error| Event::SpawnFailed(id, error));
            }
            Effect::Terminate(id) => {
                if let Some(live) = app.live.get_mut(&id) {
                    live.note("SIGTERM was sent");
                    live.launched.order(ToKeeper::Terminate);
                }
                app.call_off(id, Signal::SIGTERM);
            }
            Effect::Kill(id) => {
                if let Some(live) = app.live.get_mut(&id) {
                    live.note("SIGKILL was sent");
                    live.kill();
                }
                app.call_off(id, Signal::SIGKILL);
            }
            Effect::Dump(id) => {
                // SIGQUIT ends programs that do not expect it; only our own host is known to.
                if let (AppKind::Python { .. }, Some(live)) = (&app.spec.kind, app.live.get(&id)) {
                    live.launched.order(ToKeeper::Dump);
                }
            }
            Effect::Publish => self.dirty = true,
            Effect::Report(report) => {
                let draft = app.draft(&report);
                app.tell(&report, draft.as_ref());
                app.note_start(&report);
                self.dirty |= draft.is_some();
                if let Some(draft) = draft {
                    self.await_requests(number, draft);
                }
            }
            Effect::RolloutDone { generation, result } => {
                self.rollout_done(number, generation, result)
            }
        }
        None
    }
}

impl AppRun {
    /// Orders a process; what has failed, if that could not be done.
    fn spawn(
        &mut self,
        site: &Site,
        number: u64,
        (id, slot, generation): (WorkerId, u32, u64),
    ) -> Option<String> {
        let seat = Seat {
            app: self.spec_of(generation),
            slot,
            generation,
        };
        let worker = match seat.app.is_preloaded() {
            true => self.fork(site, number, id, slot, generation),
            false => launch::launch(site, seat, id),
        };
        match worker {
            Ok(worker) => {
                self.live.insert(id, Live::new(worker, slot, generation));
                None
            }
            Err(error) => {
                let error = format!("could not be started: {error}");
                self.last_ending = Some(Ending::unborn(id, slot, generation, &error));
                Some(error)
            }
        }
    }
}

impl Live {
    /// One of which nothing is known yet.
    fn new(Worker { launched, address }: Worker, slot: u32, generation: u64) -> Live {
        Live {
            launched,
            address,
            root: None,
            pid: None,
            started: Instant::now(),
            status: None,
            first_named: None,
            last_named: 0,
            requests_before: 0,
            share: fastrand::f64(),
            sentence: None,
            asked: None,
            is_asked: false,
            health: None,
            slot,
            generation,
            journey: Journey::default(),
            lost: Lost::default(),
            refused: Vec::new(),
            oom_kills: oom::oom_kills(),
        }
    }
}
