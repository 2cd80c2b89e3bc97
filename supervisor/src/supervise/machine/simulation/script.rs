//! What happens in one sequence: orders from outside, drawn from a seed. How the world reacts to the machine's own
//! orders is drawn from the same seed, worker by worker, so that a shorter script meets the same workers.

use crate::keeper::message::Exit;
use crate::plan::spec::Restart;
use crate::supervise::backoff::BackoffPolicy;
use crate::supervise::machine::{Policy, WorkerId};
use fastrand::Rng;
use std::time::Duration;

/// The most moves of a script.
const MOST_MOVES: usize = 24;

/// One thing that happens to the machine from outside. Numbers pick one of what is there at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// The clock goes on; what is due happens in its time.
    Wait(Duration),
    /// Everything stood still (a suspended machine, a starved loop): what became due happens now, in any order.
    Jump(Duration),
    Stop,
    Start,
    Rollout(u16),
    NewPolicy(u16),
    Wanted,
    Active,
    /// Requests in flight and waiting, and the wait of the first in milliseconds.
    Load(u8, u8, u16),
    /// A process ends, whatever it was doing.
    Crash(u8, Exit),
    Hung(u8),
    Recycle(u8),
    Extend(u8, Duration),
    /// News of a worker that is long gone, or never was.
    Stale(u8),
}

/// A sequence, apart from the seed that it was drawn from.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) seed: u64,
    pub(super) policy: u16,
    pub(super) moves: Vec<Move>,
}

impl Script {
    pub(super) fn drawn(seed: u64) -> Script {
        let mut rng = Rng::with_seed(seed);
        let policy = rng.u16(..);
        let count = 1 + rng.usize(..MOST_MOVES);
        let moves = (0..count).map(|_| a_move(&mut rng)).collect();
        Script {
            seed,
            policy,
            moves,
        }
    }
}

fn a_move(rng: &mut Rng) -> Move {
    match rng.u8(..36) {
        0..=9 => Move::Wait(a_while(rng)),
        10 => Move::Jump(a_while(rng)),
        11 | 12 => Move::Stop,
        13 => Move::Start,
        14..=17 => Move::Rollout(rng.u16(..)),
        18 | 19 => Move::NewPolicy(rng.u16(..)),
        20 | 21 => Move::Wanted,
        22 => Move::Active,
        23..=25 => Move::Crash(rng.u8(..), an_exit(rng)),
        26 | 27 => Move::Hung(rng.u8(..)),
        28 | 29 => Move::Recycle(rng.u8(..)),
        31..=34 => Move::Load(rng.u8(..16), rng.u8(..4), rng.u16(..400)),
        30 => Move::Extend(rng.u8(..), seconds(rng, 40)),
        _ => Move::Stale(rng.u8(..)),
    }
}

fn a_while(rng: &mut Rng) -> Duration {
    match rng.u8(..8) {
        0..=2 => Duration::from_millis(rng.u64(..200)),
        3..=5 => seconds(rng, 5),
        6 => seconds(rng, 40),
        _ => seconds(rng, 200),
    }
}

fn seconds(rng: &mut Rng, most: u64) -> Duration {
    Duration::from_millis(rng.u64(..most * 1000))
}

fn an_exit(rng: &mut Rng) -> Exit {
    match rng.u8(..8) {
        0 | 1 => Exit::Code(0),
        2..=4 => Exit::Code(1),
        5 => Exit::Code(78),
        6 => Exit::Signal(9),
        _ => Exit::Unknown,
    }
}

/// Settings of all kinds; the same number is always the same policy.
pub(super) fn policy(number: u16) -> Policy {
    let mut rng = Rng::with_seed(u64::from(number));
    let rng = &mut rng;
    let mut one_of = |seconds: &[u64]| {
        Duration::from_secs(*rng.choice(seconds).expect("there is something to choose"))
    };
    let (start_timeout, min_healthy) = (one_of(&[1, 10, 60]), one_of(&[0, 0, 1, 5]));
    let (drain_timeout, stop_timeout) = (one_of(&[0, 2, 30]), one_of(&[0, 1, 10]));
    let (max_delay, window) = (one_of(&[1, 30]), one_of(&[10, 60]));
    let sometimes = |rng: &mut Rng, seconds: u64| {
        let on = rng.u8(..3) == 0;
        on.then(|| Duration::from_secs(seconds))
    };
    let processes = rng.u32(1..4);
    Policy {
        processes,
        health: rng.u8(..3) == 0,
        max_processes: processes + rng.u32(..4),
        threads: rng.u32(1..4),
        scale_down_after: Duration::from_secs(rng.u64(1..40)),
        start_timeout,
        min_healthy,
        drain_timeout,
        stop_timeout,
        restart: match rng.u8(..8) {
            0 => Restart::Never,
            1 => Restart::OnFailure,
            _ => Restart::Always,
        },
        backoff: BackoffPolicy {
            delay: Duration::from_millis(rng.u64(1..1000)),
            max_delay,
            limit: rng.u32(1..6),
            window,
        },
        idle_timeout: sometimes(rng, 20),
        watchdog: sometimes(rng, 15),
        max_lifetime: sometimes(rng, 30),
    }
}

/// How a process will behave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    pub(super) start: Start,
    /// Its end of its own accord, so long after it was ready.
    pub(super) life: Option<(Duration, Exit)>,
    /// How often it pings its watchdog; it hangs afterwards.
    pub(super) pings: u8,
    /// It is ill from so long after it was ready, for so long.
    pub(super) ill: Option<(Duration, Duration)>,
    /// How long its requests take to finish when it is drained; none: longer than anyone waits.
    pub(super) drains: Option<Duration>,
    /// When it obeys SIGTERM; none: never.
    pub(super) obeys: Option<Duration>,
    /// It asks for this much more time once, when it starts or stops.
    pub(super) extends: Option<Duration>,
    /// How long the kernel takes to end it after SIGKILL.
    pub(super) dies: Duration,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    /// It cannot be launched: the step that orders it hears so at once.
    FailsNow,
    /// Its keeper says so a little later.
    Fails(Duration),
    Ready(Duration),
    Exits(Duration, Exit),
    Never,
}

impl Fate {
    /// Of a well-behaved process.
    pub(super) const GOOD: Fate = Fate {
        start: Start::Ready(Duration::from_millis(500)),
        life: None,
        pings: u8::MAX,
        ill: None,
        drains: Some(Duration::from_millis(100)),
        obeys: Some(Duration::from_millis(100)),
        extends: None,
        dies: Duration::from_millis(10),
    };

    /// The fate of worker `id` in the world of `seed`, which as a whole is more or less troubled.
    pub(super) fn of(seed: u64, id: WorkerId) -> Fate {
        let mut rng = Rng::with_seed(seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let rng = &mut rng;
        let trouble = [0, 10, 40, 90][(seed % 4) as usize];
        let bad = |rng: &mut Rng| rng.u8(..100) < trouble;
        let start = if bad(rng) {
            match rng.u8(..6) {
                0 => Start::FailsNow,
                1 => Start::Fails(seconds(rng, 3)),
                2 | 3 => Start::Exits(seconds(rng, 3), an_exit(rng)),
                4 => Start::Ready(seconds(rng, 80)),
                _ => Start::Never,
            }
        } else {
            Start::Ready(Duration::from_millis(rng.u64(..2000)))
        };
        Fate {
            start,
            life: bad(rng).then(|| (seconds(rng, 25), an_exit(rng))),
            pings: if bad(rng) { rng.u8(..4) } else { u8::MAX },
            ill: bad(rng).then(|| (Duration::from_millis(rng.u64(..9000)), seconds(rng, 30))),
            drains: (!bad(rng)).then(|| seconds(rng, 3)),
            obeys: (!bad(rng)).then(|| seconds(rng, 2)),
            extends: bad(rng).then(|| seconds(rng, 15)),
            dies: Duration::from_millis(rng.u64(..1000)),
        }
    }
}
