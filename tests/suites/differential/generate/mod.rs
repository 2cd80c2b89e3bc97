//! Random configurations. Everything follows from the seed; about half of them resolve.

pub(crate) mod ini;
pub(crate) mod tree;

use fastrand::Rng;

/// Chance, as a percentage.
fn chance(rng: &mut Rng, percent: u32) -> bool {
    rng.u32(..100) < percent
}

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}
