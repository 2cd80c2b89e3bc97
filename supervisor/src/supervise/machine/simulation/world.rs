//! The world around one machine: processes with a fate each, the proxy's table, a clock that only this moves. It does
//! with effects and events what the driver does, and holds every step against the laws.

use super::laws::{Before, Laws, in_table, workers_are_processes};
use super::script::{self, Fate, Move, Script, Start};
use crate::keeper::message::Exit;
use crate::supervise::machine::{
    AppMachine, AppState, Effect, Event, LEAST_DRAIN, Report, WorkerId, WorkerState,
};
use crate::supervise::scaling::Load;
use fastrand::Rng;
use std::time::{Duration, Instant};

/// How often a process pings its watchdog; the policies have 15 s.
const PING_INTERVAL: Duration = Duration::from_secs(7);
/// How often its health is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(4);
/// More ticks than this at one moment are a loop.
const MOST_TICKS: u32 = 60;
/// Longer than anything takes in a world that behaves, but the app's own timeouts.
const A_MOMENT: Duration = Duration::from_secs(2);

/// What law was broken.
pub(super) type Verdict = Result<(), String>;

/// What is counted, to show that a run has met what it should.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) steps: u64,
    pub(super) spawns: u64,
    pub(super) kills: u64,
    pub(super) rollouts_done: u64,
    pub(super) rollouts_failed: u64,
    pub(super) hangs: u64,
    pub(super) ticks: u64,
    pub(super) scaled: u64,
}

/// A process as the world knows it.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) id: WorkerId,
    pub(super) terminated: bool,
    pub(super) killed: bool,
    ready: Option<Instant>,
    drains: bool,
    pings: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Fails,
    Ready,
    Exits(Exit),
    Drained,
    Pings,
    IsChecked,
    Extends,
}

#[derive(Debug)]
struct Due {
    at: Instant,
    order: u32,
    id: WorkerId,
    news: News,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Each process has its own fate.
    AsDrawn,
    /// All behave.
    Good,
    /// No process obeys, no request ends.
    Stubborn,
}

pub(super) struct World {
    pub(super) machine: AppMachine,
    pub(super) now: Instant,
    pub(super) counts: Counts,
    seed: u64,
    dice: Rng,
    mood: Mood,
    processes: Vec<Process>,
    due: Vec<Due>,
    order: u32,
    generation: u64,
    /// As the proxy has it.
    table: Vec<WorkerId>,
    laws: Laws,
    before: Before,
    start: Instant,
    last_tick: Instant,
    ticks: u32,
    trace: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(script: &Script, start: Instant, traced: bool) -> World {
        let policy = script::policy(script.policy);
        World {
            machine: AppMachine::new(policy, 1),
            now: start,
            counts: Counts::default(),
            seed: script.seed,
            dice: Rng::with_seed(!script.seed),
            mood: Mood::AsDrawn,
            processes: Vec::new(),
            due: Vec::new(),
            order: 0,
            generation: 1,
            table: Vec::new(),
            laws: Laws::default(),
            before: Before::default(),
            start,
            last_tick: start,
            ticks: 0,
            trace: traced.then(|| vec![format!("{policy:?}")]),
        }
    }

    /// What happened, if it was traced.
    pub(super) fn into_trace(self) -> Vec<String> {
        self.trace.unwrap_or_default()
    }

    /// All moves, then the proof that it lives: it comes up if the world lets it, and it goes even if the world does not.
    pub(super) fn play(&mut self, moves: &[Move]) -> Verdict {
        self.feed(Event::Tick)?;
        for one in moves {
            self.note(|| format!("-- {one:?}"));
            self.make(*one)?;
        }
        self.note(|| "-- from now on the world behaves".to_owned());
        self.comes_up()?;
        self.note(|| "-- from now on nobody obeys".to_owned());
        self.goes()
    }

    fn make(&mut self, one: Move) -> Verdict {
        match one {
            Move::Wait(time) => self.advance(self.now + time),
            Move::Jump(time) => self.jump(time),
            Move::Stop => self.feed(Event::Stop),
            Move::Start => self.feed(Event::Start),
            Move::Rollout(number) => self.roll_out(number),
            Move::NewPolicy(number) => self.new_policy(number),
            Move::Wanted => self.feed(Event::Wanted),
            Move::Active => self.feed(Event::Active),
            Move::Load(in_flight, queued, waited) => self.feed(Event::Load(Load {
                in_flight: in_flight.into(),
                queued: queued.into(),
                waited: Duration::from_millis(waited.into()),
            })),
            Move::Crash(n, exit) => self.deliver(self.pick(n), News::Exits(exit)),
            Move::Hung(n) => self.feed(Event::Hung(self.pick(n), "did not answer".to_owned())),
            Move::Recycle(n) => self.feed(Event::Recycle(self.pick(n), "had enough".to_owned())),
            Move::Extend(n, by) => self.feed(Event::Extend(self.pick(n), by)),
            Move::Stale(n) => {
                let gone = WorkerId::from(n);
                let is_there = self.processes.iter().any(|process| process.id == gone);
                let id = if is_there { WorkerId::MAX } else { gone };
                self.feed(match n % 10 {
                    0 => Event::Ready(id),
                    1 => Event::Exited(id, Exit::Code(1)),
                    2 => Event::SpawnFailed(id, String::new()),
                    3 => Event::Drained(id),
                    4 => Event::Hung(id, String::new()),
                    5 => Event::Recycle(id, String::new()),
                    6 => Event::Alive(id),
                    7 => Event::Healthy(id),
                    8 => Event::Unhealthy(id, String::new()),
                    _ => Event::Extend(id, Duration::from_secs(9)),
                })
            }
        }
    }

    fn pick(&self, n: u8) -> WorkerId {
        let count = self.processes.len().max(1);
        let process = self.processes.get(usize::from(n) % count);
        process.map_or(WorkerId::MAX, |process| process.id)
    }

    fn roll_out(&mut self, number: u16) -> Verdict {
        self.generation += 1;
        self.feed(Event::Rollout {
            generation: self.generation,
            policy: script::policy(number),
        })
    }

    fn new_policy(&mut self, number: u16) -> Verdict {
        let policy = script::policy(number);
        let rollout = self.machine.rollout.map(|rollout| rollout.generation);
        for generation in [Some(self.machine.generation()), rollout]
            .into_iter()
            .flatten()
        {
            self.feed(Event::NewPolicy { generation, policy })?;
        }
        Ok(())
    }

    /// From now on nothing goes wrong: the app is complete within a bound, whatever has happened before.
    fn comes_up(&mut self) -> Verdict {
        self.behave();
        if self.laws.is_stopped() || self.machine.given_up {
            self.roll_out(self.seed as u16)?;
        }
        self.feed(Event::Wanted)?;
        let policy = self.machine.policy;
        let rollout = self.machine.rollout.map(|rollout| rollout.policy);
        let bound = policy.backoff.max_delay.mul_f64(1.25)
            + policy.min_healthy
            + rollout.map_or(Duration::ZERO, |policy| policy.min_healthy)
            + A_MOMENT;
        let end = self.now + bound;
        while self.machine.state() != AppState::Ready || !self.laws.newest_is_answered() {
            let Some(next) = self.next().filter(|at| *at <= end) else {
                return Err(format!(
                    "not up after {bound:?} in a world that behaves, but {:?}; {:?}",
                    self.machine.state(),
                    self.machine
                ));
            };
            // Clients ask all the time, so that it does not fall asleep.
            self.feed(Event::Active)?;
            self.advance(next.min(self.now + Duration::from_secs(5)))?;
        }
        // What was on its way out has time to go.
        self.advance(self.now + A_MOMENT)
    }

    /// Everything that is under way goes well.
    fn behave(&mut self) {
        self.mood = Mood::Good;
        self.due.clear();
        for n in 0..self.processes.len() {
            let Process {
                id,
                terminated,
                killed,
                ready,
                drains,
                ..
            } = self.processes[n];
            self.processes[n].pings = Fate::GOOD.pings;
            let soon = Duration::from_millis(100);
            if terminated || killed {
                self.later(id, soon, News::Exits(Exit::Code(0)));
                continue;
            }
            if drains {
                self.later(id, soon, News::Drained);
            }
            if ready.is_none() {
                self.later(id, soon, News::Ready);
                continue;
            }
            self.later(id, soon, News::Pings);
            self.later(id, soon, News::IsChecked);
        }
    }

    /// No process obeys, no request ends: what is stopped is gone within the sum of the timeouts.
    fn goes(&mut self) -> Verdict {
        self.mood = Mood::Stubborn;
        self.feed(Event::Stop)?;
        let policy = self.machine.policy;
        let bound = policy.drain_timeout.max(LEAST_DRAIN) + policy.stop_timeout + Fate::GOOD.dies;
        self.advance(self.now + bound)?;
        if self.processes.is_empty() && self.machine.is_gone() {
            return Ok(());
        }
        Err(format!(
            "not gone {bound:?} after a stop: {:?}",
            self.machine.workers
        ))
    }

    fn fate(&self, id: WorkerId) -> Fate {
        match self.mood {
            Mood::AsDrawn => Fate::of(self.seed, id),
            Mood::Good => Fate::GOOD,
            Mood::Stubborn => Fate {
                drains: None,
                obeys: None,
                ..Fate::GOOD
            },
        }
    }

    fn next(&self) -> Option<Instant> {
        let due = self.due.iter().map(|due| due.at).min();
        due.into_iter().chain(self.machine.deadline()).min()
    }

    /// Lets time pass; whatever becomes due happens at its moment.
    fn advance(&mut self, until: Instant) -> Verdict {
        while let Some(next) = self.next().filter(|at| *at <= until) {
            self.now = self.now.max(next);
            if self.machine.deadline().is_some_and(|at| at <= self.now) {
                self.tick()?;
            } else {
                self.deliver_earliest()?;
            }
        }
        self.now = until;
        Ok(())
    }

    /// Time passes while nobody looks; then everything arrives together, in any order.
    fn jump(&mut self, time: Duration) -> Verdict {
        self.now += time;
        let now = self.now;
        loop {
            let late: Vec<usize> = (0..self.due.len())
                .filter(|n| self.due[*n].at <= now)
                .collect();
            let Some(n) = self.dice.choice(late) else {
                break;
            };
            let Due { id, news, .. } = self.due.swap_remove(n);
            self.deliver(id, news)?;
        }
        self.advance(now)
    }

    fn deliver_earliest(&mut self) -> Verdict {
        let earliest = (0..self.due.len()).min_by_key(|n| (self.due[*n].at, self.due[*n].order));
        let Some(n) = earliest else { return Ok(()) };
        let Due { id, news, .. } = self.due.swap_remove(n);
        self.deliver(id, news)
    }

    fn later(&mut self, id: WorkerId, after: Duration, news: News) {
        self.order += 1;
        self.due.push(Due {
            at: self.now + after,
            order: self.order,
            id,
            news,
        });
    }

    /// News of a process; of one that has gone there is none.
    fn deliver(&mut self, id: WorkerId, news: News) -> Verdict {
        let Some(n) = self.processes.iter().position(|p| p.id == id) else {
            return Ok(());
        };
        let fate = self.fate(id);
        match news {
            News::Fails => self.feed(Event::SpawnFailed(id, "no".to_owned())),
            News::Exits(exit) => {
                self.processes.remove(n);
                self.feed(Event::Exited(id, exit))
            }
            News::Ready => {
                self.processes[n].ready = Some(self.now);
                self.processes[n].pings = fate.pings;
                self.later(id, PING_INTERVAL, News::Pings);
                self.later(id, Duration::from_millis(100), News::IsChecked);
                if let Some((time, exit)) = fate.life {
                    self.later(id, time, News::Exits(exit));
                }
                self.feed(Event::Ready(id))
            }
            News::Pings => {
                let process = &mut self.processes[n];
                if process.pings == 0 {
                    return Ok(());
                }
                process.pings -= 1;
                // A process pings only where somebody listens; an idle clock shall be cheap.
                if self.machine.policy.watchdog.is_some() {
                    self.later(id, PING_INTERVAL, News::Pings);
                    return self.feed(Event::Alive(id));
                }
                Ok(())
            }
            News::IsChecked => {
                let policies = [
                    Some(self.machine.policy),
                    self.machine.rollout.map(|r| r.policy),
                ];
                // As with pings.
                if !policies.into_iter().flatten().any(|policy| policy.health) {
                    return Ok(());
                }
                self.later(id, CHECK_INTERVAL, News::IsChecked);
                let since = self.processes[n]
                    .ready
                    .map_or(Duration::ZERO, |at| self.now - at);
                let is_ill = |(from, long)| since >= from && since < from + long;
                self.feed(if fate.ill.is_some_and(is_ill) {
                    Event::Unhealthy(id, "answered with status 503".to_owned())
                } else {
                    Event::Healthy(id)
                })
            }
            News::Drained => self.feed(Event::Drained(id)),
            News::Extends => match fate.extends {
                Some(by) => self.feed(Event::Extend(id, by)),
                None => Ok(()),
            },
        }
    }

    fn tick(&mut self) -> Verdict {
        let (deadline, trace) = (self.machine.deadline(), self.laws.effects_seen());
        self.feed(Event::Tick)?;
        self.counts.ticks += 1;
        if self.machine.deadline() == deadline && self.laws.effects_seen() == trace {
            return Err("a tick at the deadline changed nothing: the loop would spin".to_owned());
        }
        self.ticks = if self.last_tick == self.now {
            self.ticks + 1
        } else {
            0
        };
        self.last_tick = self.now;
        if self.ticks > MOST_TICKS {
            return Err(format!("{MOST_TICKS} ticks at one moment"));
        }
        Ok(())
    }

    /// One event, what follows from it at once, and what the driver does after each message.
    fn feed(&mut self, event: Event) -> Verdict {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            if let Event::SpawnFailed(id, _) = &event {
                self.processes.retain(|process| process.id != *id);
            }
            self.step(event, &mut events)?;
        }
        self.settle()
    }

    fn step(&mut self, event: Event, then: &mut Vec<Event>) -> Verdict {
        self.counts.steps += 1;
        self.before.take(&self.machine, self.now);
        let dice = self.dice.f64();
        let effects = self.machine.step(event.clone(), self.now, dice);
        if let Some(trace) = &mut self.trace {
            let quiet = effects.is_empty() && matches!(event, Event::Tick | Event::Active);
            if !quiet {
                let time = (self.now - self.start).as_secs_f64();
                trace.push(format!("{time:9.3} {event:?} -> {effects:?}"));
            }
        }
        for effect in &effects {
            self.carry_out(effect, then)?;
        }
        self.laws
            .hold(&self.before, &event, &effects, &self.machine, self.now)
    }

    fn carry_out(&mut self, effect: &Effect, then: &mut Vec<Event>) -> Verdict {
        let process = |world: &World, id: WorkerId| {
            let found = world.processes.iter().position(|p| p.id == id);
            found.ok_or_else(|| format!("{effect:?}, but there is no such process"))
        };
        match effect {
            Effect::Spawn { id, .. } => {
                self.counts.spawns += 1;
                self.processes.push(Process {
                    id: *id,
                    terminated: false,
                    killed: false,
                    ready: None,
                    drains: false,
                    pings: 0,
                });
                let fate = self.fate(*id);
                match fate.start {
                    Start::FailsNow => then.push(Event::SpawnFailed(*id, "no".to_owned())),
                    Start::Fails(after) => self.later(*id, after, News::Fails),
                    Start::Ready(after) => self.later(*id, after, News::Ready),
                    Start::Exits(after, exit) => self.later(*id, after, News::Exits(exit)),
                    Start::Never => {}
                }
                if fate.extends.is_some() {
                    self.later(*id, Duration::from_millis(500), News::Extends);
                }
            }
            Effect::Terminate(id) => {
                let n = process(self, *id)?;
                if self.processes[n].terminated || self.processes[n].killed {
                    return Err(format!("{effect:?}, a second time or after SIGKILL"));
                }
                self.processes[n].terminated = true;
                let fate = self.fate(*id);
                if let Some(after) = fate.obeys {
                    self.later(*id, after, News::Exits(Exit::Code(0)));
                }
                if fate.extends.is_some() {
                    self.later(*id, Duration::from_millis(300), News::Extends);
                }
            }
            Effect::Kill(id) => {
                let n = process(self, *id)?;
                if self.processes[n].killed {
                    return Err(format!("{effect:?}, a second time"));
                }
                self.counts.kills += 1;
                self.processes[n].killed = true;
                self.later(*id, self.fate(*id).dies, News::Exits(Exit::Signal(9)));
            }
            Effect::Dump(id) => {
                process(self, *id)?;
                self.counts.hangs += 1;
            }
            Effect::RolloutDone { result: Ok(()), .. } => self.counts.rollouts_done += 1,
            Effect::RolloutDone { .. } => self.counts.rollouts_failed += 1,
            Effect::Report(Report::Scaled(_)) => self.counts.scaled += 1,
            Effect::Publish | Effect::Report(_) => {}
        }
        Ok(())
    }

    /// Publishes, hears what has drained, and looks whether the machine is at rest.
    fn settle(&mut self) -> Verdict {
        workers_are_processes(&self.machine, &self.processes)?;
        let named = std::mem::replace(&mut self.table, in_table(&self.machine));
        let mut drained = Vec::new();
        for n in 0..self.processes.len() {
            let id = self.processes[n].id;
            let is_draining = self
                .machine
                .worker(id)
                .is_some_and(|w| matches!(w.state, WorkerState::Draining { .. }));
            if !is_draining || std::mem::replace(&mut self.processes[n].drains, true) {
                continue;
            }
            if !named.contains(&id) {
                drained.push(id);
            } else if let Some(after) = self.fate(id).drains {
                self.later(id, after, News::Drained);
            }
        }
        for id in drained {
            self.feed(Event::Drained(id))?;
        }
        let is_due = self.machine.deadline().is_some_and(|at| at <= self.now);
        if !is_due && self.counts.steps.is_multiple_of(4) {
            let again = self.machine.step(Event::Tick, self.now, 0.5);
            if !again.is_empty() {
                return Err(format!(
                    "not at rest after a step: a tick leads to {again:?}"
                ));
            }
        }
        Ok(())
    }

    fn note(&mut self, what: impl Fn() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }
}

impl Counts {
    pub(super) fn add(&mut self, other: Counts) {
        self.steps += other.steps;
        self.spawns += other.spawns;
        self.kills += other.kills;
        self.rollouts_done += other.rollouts_done;
        self.rollouts_failed += other.rollouts_failed;
        self.hangs += other.hangs;
        self.ticks += other.ticks;
        self.scaled += other.scaled;
    }
}
