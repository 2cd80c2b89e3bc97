//! A crash report for people: what happened, in which order, what was going on.

use super::{problems::printable, table};
use crate::reports::report::{CrashReport, OutputStream, Progress, Repeat, RequestFacts};
use chrono::{DateTime, Local, SecondsFormat};
use std::fmt::Write;

/// The whole report.
pub(super) fn render(report: &CrashReport) -> String {
    let mut text = format!(
        "report {} of {}, {}\n{}\n",
        report.id,
        report.app,
        local(&report.time),
        report.what
    );
    if report.count > 1 {
        let _ = writeln!(
            text,
            "\n{} deaths in a row were like this{}",
            report.count,
            report.repeats.last().map_or_else(String::new, last)
        );
    }
    text.push('\n');
    text.push_str(&table::columns(facts(report)));
    section(&mut text, "requests in flight", requests(report));
    section(&mut text, "steps", steps(report));
    section(&mut text, "last output", output(report));
    printable(&text)
}

fn last(repeat: &Repeat) -> String {
    let pid = repeat
        .pid
        .map_or_else(String::new, |pid| format!(" (pid {pid})"));
    format!(
        "; the last{pid} after {:.1}s at {}, report {}",
        repeat.uptime_s,
        local(&repeat.time),
        repeat.id
    )
}

fn section(text: &mut String, title: &str, rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        let _ = write!(text, "\n\n{title}\n{}", table::columns(rows));
    }
}

fn row<const N: usize>(cells: [String; N]) -> Vec<String> {
    cells.into()
}

fn facts(report: &CrashReport) -> Vec<Vec<String>> {
    let mut facts: Vec<(&str, String)> = Vec::new();
    if let Some(why) = &report.why {
        facts.push(("ended by paster", format!("it {why}")));
    }
    facts.push(("up", format!("{:.3}s", report.uptime_s)));
    if let Some(bytes) = report.max_rss_bytes {
        facts.push(("peak memory", format!("{} MB", bytes.div_ceil(1_000_000))));
    }
    if let (Some(user), Some(system)) = (report.cpu_user_s, report.cpu_system_s) {
        let cpu = format!("{user:.3}s user, {system:.3}s system");
        facts.push(("CPU time", cpu));
    }
    match report.oom_kills {
        Some(0) => facts.push(("out of memory", "no process was killed for it".to_owned())),
        Some(kills) => facts.push((
            "out of memory",
            format!("likely: the kernel killed {kills} process(es) for it meanwhile"),
        )),
        None => {}
    }
    facts.push(("then", report.decision.clone()));
    for refused in &report.refused {
        let refusal = format!(
            "{} {} gets 503 for {:.0}s: in flight at {} deaths in a row",
            refused.method, refused.path, refused.refused_s, refused.deaths
        );
        facts.push(("refused", refusal));
    }
    facts
        .into_iter()
        .map(|(name, value)| row([name.to_owned(), value]))
        .collect()
}

fn requests(report: &CrashReport) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = report.requests.iter().map(request).collect();
    if report.requests_omitted > 0 {
        rows.push(row([format!("and {} more", report.requests_omitted)]));
    }
    rows
}

fn request(request: &RequestFacts) -> Vec<String> {
    let progress = match request.progress {
        Progress::Waiting => "",
        Progress::Answering => "answering",
        Progress::TimedOut => "timed out",
    };
    row([
        format!("{} {}", request.method, request.path),
        format!("{:.3}s", request.age_s),
        request.id.clone().unwrap_or_default(),
        progress.to_owned(),
    ])
}

fn steps(report: &CrashReport) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = report
        .steps
        .iter()
        .map(|step| row([format!("{:>9.3}s", step.at_s), step.what.clone()]))
        .collect();
    if report.steps_omitted > 0 {
        rows.push(row([
            String::new(),
            format!("({} in between are left out)", report.steps_omitted),
        ]));
    }
    rows
}

fn output(report: &CrashReport) -> Vec<Vec<String>> {
    report
        .output
        .iter()
        .map(|line| {
            let stream = match line.stream {
                OutputStream::Stdout => "out",
                OutputStream::Stderr => "err",
            };
            row([stream.to_owned(), line.text.clone()])
        })
        .collect()
}

/// RFC 3339 in the zone of who reads it.
fn local(time: &str) -> String {
    DateTime::parse_from_rfc3339(time).map_or_else(
        |_| time.to_owned(),
        |time| {
            time.with_timezone(&Local)
                .to_rfc3339_opts(SecondsFormat::Millis, false)
        },
    )
}
