//! Targets for fuzzing: properties that are checked with made-up input, for as long as somebody wants.
//!
//! In an ordinary run a target gets a few hundred inputs. With `PASTER_FUZZ_SECONDS` it goes on for so long
//! (docs/testing.md). A failure is reduced to a small input and printed.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::time::{Duration, Instant};

/// Checks `property` with input made by `strategy` until the time is over.
pub(crate) fn fuzz<S: Strategy>(
    strategy: &S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let seconds = std::env::var("PASTER_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let mut inputs: u64 = 0;
    loop {
        let mut runner = TestRunner::new(config.clone());
        inputs += u64::from(config.cases);
        if let Err(error) = runner.run(strategy, &property) {
            panic!("after at most {inputs} inputs: {error}");
        }
        if Instant::now() >= end {
            break;
        }
    }
    if seconds > 0 {
        show(inputs, seconds);
    }
}

#[expect(clippy::print_stderr, reason = "who fuzzes wants to know")]
fn show(inputs: u64, seconds: u64) {
    eprintln!("{inputs} inputs in {seconds} s, no failure");
}
