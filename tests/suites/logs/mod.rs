//! What apps print goes where it is wanted, whole and in order, and holds up nobody.

mod daemons;
mod files;
mod reading;
mod slow;

use crate::harness::{Paster, Site};
use std::fs;
use std::path::Path;

const MB: u64 = 1024 * 1024;

/// One app with a log file `home.log`, with these settings of it.
fn with_file(settings: &[&str]) -> Site {
    let site = Site::new()
        .actor("home", "/")
        .policy("home", "log_file = %(here)s/{app}.log");
    settings
        .iter()
        .fold(site, |site, line| site.policy("home", line))
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn log(paster: &Paster) -> String {
    text(&paster.site().path("home.log"))
}

fn print(paster: &Paster, out: &str, err: &str) {
    paster.text(&format!("/print?out={out}&err={err}"));
}

/// The numbers of the lines `WORD n` in a log, with whatever before them.
fn numbers(text: &str, word: &str) -> Vec<u64> {
    let needle = format!("{word} ");
    let number = |line: &str| line.split_once(&needle)?.1.parse().ok();
    text.lines().filter_map(number).collect()
}

/// The log with all files that were put aside, oldest first.
fn whole_log(paster: &Paster) -> String {
    let path = |number| paster.site().path(&format!("home.log.{number}"));
    let count = (1..).take_while(|number| path(*number).exists()).count();
    let old: String = (1..=count)
        .rev()
        .map(|number| text(&path(number)))
        .collect();
    old + &log(paster)
}

fn wait_for_line(paster: &Paster, part: &str) {
    paster.wait_for(&format!("`{part}` in the log file"), || {
        log(paster).contains(part)
    });
}
