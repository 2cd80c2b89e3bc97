//! Whether a death is the same as the one before, so that a crash loop fills one report and not all of them. Pure.

use super::report::{CrashReport, MAX_REPEATS, Repeat};

/// Whether `later` tells nothing that `earlier` does not: same kind, same end, same requests, same steps and same output,
/// numbers aside (pids, times, addresses).
pub(super) fn is_repeat(earlier: &CrashReport, later: &CrashReport) -> bool {
    earlier.app == later.app
        && earlier.kind == later.kind
        && earlier.generation == later.generation
        && earlier.exit == later.exit
        && earlier.why.as_deref().map(wording) == later.why.as_deref().map(wording)
        && later.refused.is_empty()
        && requests(earlier) == requests(later)
        && words(earlier.steps.iter().map(|step| &*step.what))
            == words(later.steps.iter().map(|step| &*step.what))
        && words(earlier.output.iter().map(|line| &*line.text))
            == words(later.output.iter().map(|line| &*line.text))
}

/// Counts `later` to `earlier`.
pub(super) fn count(earlier: &mut CrashReport, later: CrashReport) {
    earlier.count += later.count;
    if earlier.repeats.len() == MAX_REPEATS {
        earlier.repeats.remove(0);
    }
    earlier.repeats.push(Repeat {
        id: later.id,
        time: later.time,
        pid: later.pid,
        uptime_s: later.uptime_s,
    });
    // What comes next is what was decided last.
    earlier.decision = later.decision;
}

fn requests(report: &CrashReport) -> Vec<(&str, &str)> {
    let mut requests: Vec<_> = report
        .requests
        .iter()
        .map(|request| (&*request.method, &*request.path))
        .collect();
    requests.sort_unstable();
    requests
}

fn words<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    lines.map(wording).collect()
}

/// A line without its numbers; `0x` and what follows is one.
fn wording(line: &str) -> String {
    let mut wording = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '0' if chars.next_if_eq(&'x').is_some() => {
                while chars.next_if(char::is_ascii_hexdigit).is_some() {}
            }
            c if c.is_ascii_digit() => {}
            c => wording.push(c),
        }
    }
    wording
}

#[cfg(test)]
mod tests {
    use super::super::report::testing::report;
    use super::super::report::{OutputLine, OutputStream, RefusedRequest};
    use super::*;

    #[test]
    fn numbers_make_no_difference() {
        let earlier = report("blog", "0a0a0a0a");
        let mut later = report("blog", "0b0b0b0b");
        later.pid = Some(9);
        later.steps[0].what = "spawned (pid 9)".to_owned();
        later.output[0].text = "Current thread 0x00007fabcd (most recent call first):".to_owned();
        assert!(is_repeat(&earlier, &later));
        assert_eq!(wording("at 12:00 0xAF1g x0y"), "at : g xy");
    }

    #[test]
    fn words_do() {
        let earlier = report("blog", "0a0a0a0a");
        let other = |change: fn(&mut CrashReport)| {
            let mut later = report("blog", "0b0b0b0b");
            change(&mut later);
            !is_repeat(&earlier, &later)
        };
        assert!(other(|r| r
            .output
            .push(OutputLine::new(OutputStream::Stdout, "new"))));
        assert!(other(|r| r.exit.core_dumped = true));
        assert!(other(|r| r.generation = 2));
        assert!(other(|r| r.requests.clear()));
        assert!(other(|r| r.why = Some("hangs".to_owned())));
        assert!(
            other(|r| r.refused.push(RefusedRequest {
                method: "GET".to_owned(),
                path: "/boom".to_owned(),
                deaths: 2,
                refused_s: 5.0,
            })),
            "this one tells that a request is refused from now on"
        );
    }

    #[test]
    fn repeats_are_counted_and_the_last_are_named() {
        let mut first = report("blog", "00000000");
        for n in 1..=30 {
            count(&mut first, report("blog", &format!("{n:08}")));
        }
        assert_eq!(first.count, 31);
        assert_eq!(first.repeats.len(), MAX_REPEATS);
        assert_eq!(first.repeats[MAX_REPEATS - 1].id, "00000030");
        assert_eq!(first.id, "00000000");
    }
}
