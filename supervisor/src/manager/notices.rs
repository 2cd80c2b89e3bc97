//! What the service manager is to be told, and when. Pure: facts and the time in, datagrams out.

use std::time::{Duration, Instant};

/// Status lines are sent no more often than this.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// While something takes long, more time is asked for this often. A shorter limit in the unit stays in force.
const EXTEND_INTERVAL: Duration = Duration::from_secs(10);
/// The time that is asked for: until then we speak again, or we hang.
const EXTEND_BY: Duration = Duration::from_secs(30);

/// What the service as a whole is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Some app has not had its first chance yet.
    Starting,
    Running,
    Stopping,
}

/// What the manager has been told so far.
#[derive(Debug)]
pub struct Notices {
    phase: Phase,
    /// Reloads that are under way.
    reloads: u32,
    /// `RELOADING=1` was said and `READY=1` was not.
    reload_is_open: bool,
    /// Why the last reload had no effect, or not the whole one.
    failure: Option<String>,
    status: String,
    status_told_at: Option<Instant>,
    /// The status has changed since.
    status_is_old: bool,
    ping_interval: Option<Duration>,
    pinged_at: Instant,
    extended_at: Instant,
}

impl Notices {
    /// `watchdog` is the time after which silence means that we hang.
    pub fn new(watchdog: Option<Duration>, now: Instant) -> Notices {
        Notices {
            phase: Phase::Starting,
            reloads: 0,
            reload_is_open: false,
            failure: None,
            status: String::new(),
            status_told_at: None,
            status_is_old: false,
            // As `sd_watchdog_enabled(3)` recommends.
            ping_interval: watchdog.map(|limit| limit / 2),
            pinged_at: now,
            extended_at: now,
        }
    }

    /// The manager has been told by a program in whose place we are.
    pub fn went_on(&mut self) {
        self.phase = Phase::Running;
    }

    /// A reload begins; what to say at once. `monotonic` is the time of CLOCK_MONOTONIC: by it the manager knows that this
    /// is the reload that it asked for.
    pub fn reload_began(&mut self, monotonic: Duration, now: Instant) -> Option<String> {
        self.reloads += 1;
        self.extended_at = now;
        // Before READY=1 and after STOPPING=1 the manager expects something else.
        (self.phase == Phase::Running).then(|| {
            self.reload_is_open = true;
            format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic.as_micros())
        })
    }

    /// A reload has ended: with all its effects there, or not.
    pub fn reload_ended(&mut self, failure: Option<String>) {
        self.reloads = self.reloads.saturating_sub(1);
        self.failure = failure;
    }

    /// The datagram that is due, if one is. `summary` says what the service does, on one line.
    pub fn due(&mut self, phase: Phase, summary: &str, now: Instant) -> Option<String> {
        let mut lines = Vec::new();
        if phase != self.phase {
            self.extended_at = now;
        }
        let status_must_go = match (self.phase, phase) {
            (Phase::Starting, Phase::Running) => {
                lines.push("READY=1".to_owned());
                true
            }
            (Phase::Starting | Phase::Running, Phase::Stopping) => {
                lines.push("STOPPING=1".to_owned());
                true
            }
            (_, Phase::Running) if self.reload_is_open && self.reloads == 0 => {
                self.reload_is_open = false;
                lines.push("READY=1".to_owned());
                true
            }
            _ => false,
        };
        self.phase = phase;
        let status = match &self.failure {
            Some(failure) if phase == Phase::Running => {
                format!("reload failed: {}; {summary}", one_line(failure))
            }
            _ => summary.to_owned(),
        };
        self.status_is_old |= status != self.status;
        self.status = status;
        if status_must_go || self.status_due().is_some_and(|at| at <= now) {
            lines.push(format!("STATUS={}", self.status));
            self.status_told_at = Some(now);
            self.status_is_old = false;
        }
        if self.extension_due().is_some_and(|at| at <= now) {
            self.extended_at = now;
            lines.push(format!("EXTEND_TIMEOUT_USEC={}", EXTEND_BY.as_micros()));
        }
        if self.ping_due().is_some_and(|at| at <= now) {
            self.pinged_at = now;
            lines.push("WATCHDOG=1".to_owned());
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// When [`Notices::due`] has something to say if nothing changes until then.
    pub fn deadline(&self) -> Option<Instant> {
        let times = [self.status_due(), self.extension_due(), self.ping_due()];
        times.into_iter().flatten().min()
    }

    fn status_due(&self) -> Option<Instant> {
        let told_at = self.status_told_at.map(|at| at + STATUS_INTERVAL);
        self.status_is_old
            .then(|| told_at.unwrap_or(self.pinged_at))
    }

    fn extension_due(&self) -> Option<Instant> {
        let waits = self.phase != Phase::Running || self.reload_is_open;
        waits.then(|| self.extended_at + EXTEND_INTERVAL)
    }

    fn ping_due(&self) -> Option<Instant> {
        self.ping_interval.map(|interval| self.pinged_at + interval)
    }
}

/// The first line, not endless: a status is shown in one.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 200;
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(LONGEST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    struct Told {
        notices: Notices,
        now: Instant,
    }

    impl Told {
        fn new(watchdog: Option<Duration>) -> Told {
            let now = Instant::now();
            Told {
                notices: Notices::new(watchdog, now),
                now,
            }
        }

        fn after(&mut self, time: Duration, phase: Phase, summary: &str) -> Option<String> {
            self.now += time;
            self.notices.due(phase, summary, self.now)
        }

        fn now(&mut self, phase: Phase, summary: &str) -> Option<String> {
            self.after(Duration::ZERO, phase, summary)
        }
    }

    fn running() -> Told {
        let mut told = Told::new(None);
        told.now(Phase::Running, "all is well");
        told
    }

    #[test]
    fn readiness_is_told_once_with_the_status() {
        let mut told = Told::new(None);
        assert_eq!(
            told.now(Phase::Starting, "2 starting").as_deref(),
            Some("STATUS=2 starting")
        );
        assert_eq!(
            told.now(Phase::Running, "2 ready").as_deref(),
            Some("READY=1\nSTATUS=2 ready")
        );
        assert_eq!(told.after(SECOND * 3600, Phase::Running, "2 ready"), None);
        assert_eq!(told.notices.deadline(), None);
    }

    #[test]
    fn a_status_that_changes_often_is_told_once_a_second_and_the_last_one_arrives() {
        let mut told = running();
        for n in 0..10 {
            assert_eq!(told.now(Phase::Running, &n.to_string()), None);
        }
        assert_eq!(told.notices.deadline(), Some(told.now + SECOND));
        assert_eq!(
            told.after(SECOND, Phase::Running, "9").as_deref(),
            Some("STATUS=9")
        );
        assert_eq!(told.notices.deadline(), None);
    }

    #[test]
    fn a_reload_is_bracketed_and_a_failed_one_shows_in_the_status() {
        let mut told = running();
        assert_eq!(
            told.notices
                .reload_began(Duration::from_micros(77), told.now)
                .as_deref(),
            Some("RELOADING=1\nMONOTONIC_USEC=77")
        );
        assert_eq!(told.now(Phase::Running, "all is well"), None);
        told.notices
            .reload_ended(Some("site.ini:3: bad\nhint: good".to_owned()));
        assert_eq!(
            told.now(Phase::Running, "all is well").as_deref(),
            Some("READY=1\nSTATUS=reload failed: site.ini:3: bad; all is well")
        );
        told.notices.reload_began(Duration::ZERO, told.now);
        told.notices.reload_ended(None);
        assert_eq!(
            told.now(Phase::Running, "all is well").as_deref(),
            Some("READY=1\nSTATUS=all is well")
        );
    }

    #[test]
    fn of_two_reloads_both_begin_and_the_last_one_ends() {
        let mut told = running();
        assert!(told.notices.reload_began(SECOND, told.now).is_some());
        assert!(told.notices.reload_began(SECOND, told.now).is_some());
        told.notices.reload_ended(None);
        assert_eq!(told.now(Phase::Running, "all is well"), None);
        told.notices.reload_ended(None);
        assert!(told.now(Phase::Running, "all is well").is_some());
    }

    #[test]
    fn a_reload_before_readiness_is_part_of_the_start() {
        let mut told = Told::new(None);
        assert_eq!(told.notices.reload_began(SECOND, told.now), None);
        told.notices.reload_ended(None);
        assert_eq!(
            told.now(Phase::Running, "ok").as_deref(),
            Some("READY=1\nSTATUS=ok")
        );
    }

    #[test]
    fn a_long_stop_asks_for_time_but_not_at_once() {
        let mut told = running();
        assert_eq!(
            told.now(Phase::Stopping, "stopping").as_deref(),
            Some("STOPPING=1\nSTATUS=stopping")
        );
        assert_eq!(told.after(SECOND * 9, Phase::Stopping, "stopping"), None);
        for _ in 0..3 {
            let asked = told.after(EXTEND_INTERVAL, Phase::Stopping, "stopping");
            assert_eq!(asked.as_deref(), Some("EXTEND_TIMEOUT_USEC=30000000"));
        }
    }

    #[test]
    fn signs_of_life_come_twice_in_the_time_that_is_allowed() {
        let mut told = Told::new(Some(SECOND * 2));
        told.now(Phase::Running, "ok");
        assert_eq!(told.notices.deadline(), Some(told.now + SECOND));
        for _ in 0..3 {
            let ping = told.after(SECOND, Phase::Running, "ok");
            assert_eq!(ping.as_deref(), Some("WATCHDOG=1"));
        }
    }
}
