//! Random histories of one app under a simulated clock. A history is drawn from a seed; one that breaks a law is
//! shortened and printed with its seed.
//!
//! `PASTER_SEED=n` plays one history again, `PASTER_HISTORIES=n` plays so many; `.ci/run` plays a million.

mod laws;
mod script;
mod world;

use script::{Move, Script};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use world::{Counts, World};

/// As many as an unoptimised build plays in a few seconds.
const HISTORIES: u64 = 20_000;

/// Of the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// The law that this history breaks, and what was counted.
fn play(script: &Script, moves: &[Move], start: Instant) -> Result<Counts, String> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(script, start, false);
        world.play(moves).map(|()| world.counts)
    }));
    played.unwrap_or_else(|panic| Err(words(panic.as_ref())))
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("?"))
}

/// Leaves out moves as long as a law is broken without them.
fn shortened(script: &Script, start: Instant) -> Vec<Move> {
    let mut moves = script.moves.clone();
    let mut size = moves.len().max(1);
    loop {
        let mut at = 0;
        while at < moves.len() {
            let mut fewer = moves.clone();
            fewer.drain(at..(at + size).min(moves.len()));
            if play(script, &fewer, start).is_err() {
                moves = fewer;
            } else {
                at += size;
            }
        }
        if size == 1 {
            return moves;
        }
        size /= 2;
    }
}

/// The whole story of a history that breaks a law.
fn explain(script: &Script, start: Instant) -> String {
    let moves = shortened(script, start);
    let mut world = World::new(script, start, true);
    let verdict = catch_unwind(AssertUnwindSafe(|| world.play(&moves)))
        .unwrap_or_else(|panic| Err(words(panic.as_ref())));
    let law = verdict.expect_err("it breaks a law each time");
    let story = world.into_trace().join("\n");
    format!("{story}\n\n{law}\n\nagain with PASTER_SEED={}", script.seed)
}

#[test]
fn no_history_breaks_a_law() {
    let start = Instant::now();
    if let Some(seed) = number("PASTER_SEED") {
        let script = Script::drawn(seed);
        if play(&script, &script.moves, start).is_err() {
            panic!("{}", explain(&script, start));
        }
        return;
    }
    let histories = number("PASTER_HISTORIES").unwrap_or(HISTORIES);
    let first = fastrand::u64(..);
    let (next, broken) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let work = || {
        let mut total = Counts::default();
        while broken.load(Ordering::Relaxed) == u64::MAX {
            let begin = next.fetch_add(1000, Ordering::Relaxed);
            if begin >= histories {
                break;
            }
            for n in begin..(begin + 1000).min(histories) {
                let script = Script::drawn(first.wrapping_add(n));
                match play(&script, &script.moves, start) {
                    Ok(counts) => total.add(counts),
                    Err(_) => {
                        broken.fetch_min(n, Ordering::Relaxed);
                        return total;
                    }
                }
            }
        }
        total
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let total = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut total = Counts::default();
        for worker in workers {
            total.add(worker.join().expect("histories do not panic"));
        }
        total
    });
    let broken = broken.into_inner();
    if broken != u64::MAX {
        panic!(
            "{}",
            explain(&Script::drawn(first.wrapping_add(broken)), start)
        );
    }
    #[expect(
        clippy::print_stdout,
        reason = "what a run has met, for whoever wants to see it"
    )]
    {
        println!(
            "{histories} histories from seed {first} in {:?}: {total:?}",
            start.elapsed()
        );
    }
}
