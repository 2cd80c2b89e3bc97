//! Tables of named cases, each with the section of an RFC that it is from, played by raw bytes on both sides of a server: paster, or
//! another one, which shows that the cases are fair.
//!
//! What a client does and what is due for it is a [`Protocol`]'s; what the backend answers and what may reach it is any case's.

pub(crate) mod backend;
mod case;
mod others;
mod run;

pub(crate) use case::{ANY, Case};
pub(crate) use others::Speaks;
pub(crate) use run::{Finding, Measure, cut};

use super::Paster;
use super::front::front;
use backend::Backend;
use run::run;
use std::net::SocketAddr;

/// What makes a case one of a protocol.
pub(crate) trait Protocol: Copy + Sync + 'static {
    const SPEAKS: Speaks;

    /// What a client has seen.
    type Seen: Send;

    /// What is held while the cases of a table are played.
    type Beside;

    /// Before the first case.
    fn beside(address: SocketAddr) -> Self::Beside;

    /// Behind the last one: what harmed others than the cases themselves.
    fn afterwards(beside: Self::Beside, backend: &Backend) -> Vec<Finding>;

    /// Plays a case to its end.
    fn play(
        case: &Case<Self>,
        address: SocketAddr,
        backend: &Backend,
        measure: Measure,
    ) -> Self::Seen;

    /// What is wrong, in words; nothing where all is right.
    fn judge(
        case: &Case<Self>,
        seen: &Self::Seen,
        backend: &Backend,
        measure: Measure,
    ) -> Vec<String>;

    /// What a client has sent and seen, in lines.
    fn describe(case: &Case<Self>, seen: &Self::Seen) -> String;
}

/// The cases of a protocol.
pub(crate) struct Tables<P: 'static> {
    /// Each under its subject.
    pub(crate) subjects: &'static [(&'static str, &'static [Case<P>])],
    /// For `[isolate]`.
    pub(crate) settings: &'static str,
}

impl<P: Protocol> Tables<P> {
    /// Paster in front of a backend.
    pub(crate) fn front(&self, backend: &Backend) -> Paster {
        front(backend.address, self.settings)
    }

    /// Paster keeps all cases of a subject.
    #[track_caller]
    pub(crate) fn hold(&self, subject: &str) {
        let (_, cases) = self
            .subjects
            .iter()
            .find(|(name, _)| *name == subject)
            .expect("it is in the list");
        let backend = backend_of(cases);
        let paster = self.front(&backend);
        let findings = run(cases, paster.address(), &backend, Measure::Ours);
        let texts: Vec<_> = findings.iter().map(|(_, text)| text.as_str()).collect();
        assert!(
            findings.is_empty(),
            "{} of {} cases fail:\n{}",
            findings.len(),
            cases.len(),
            texts.join("\n")
        );
    }

    /// A name is the backend's mark for a case, so no two have the same; and the tables are not cut short.
    #[track_caller]
    pub(crate) fn check_names(&self, at_least: usize) {
        let mut names: Vec<_> = self
            .subjects
            .iter()
            .flat_map(|(_, cases)| cases.iter().map(|case| case.name))
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a name is used twice");
        assert!(count >= at_least, "{count} cases");
    }

    /// Prints how many cases the servers that are installed fail; never fails.
    pub(crate) fn show_others(&self) {
        let is_verbose = std::env::var_os("PASTER_TEST_VERBOSE").is_some();
        let mut table = String::new();
        for (name, configure) in others::OTHERS {
            for (subject, cases) in self.subjects {
                let backend = backend_of(cases);
                let Some(other) = others::start(configure, backend.address, P::SPEAKS) else {
                    table += &format!("{name:10} is not installed\n");
                    break;
                };
                // What asked whether it serves.
                backend.forget();
                let findings = run(cases, other.address, &backend, Measure::Fair);
                let names: Vec<_> = findings.iter().map(|(name, _)| *name).collect();
                table += &format!(
                    "{name:10} {subject:12} {:3} of {:3} fail: {}\n",
                    findings.len(),
                    cases.len(),
                    names.join(", ")
                );
                if is_verbose {
                    findings.iter().for_each(|(_, text)| table += text);
                }
            }
        }
        others::show(&table);
    }
}

fn backend_of<P: Protocol>(cases: &[Case<P>]) -> Backend {
    Backend::start(cases.iter().map(Case::script).collect())
}

/// A test for each subject of `TABLES`.
macro_rules! subjects {
    ($($test:ident: $subject:literal),* $(,)?) => {
        $(
            #[test]
            fn $test() {
                TABLES.hold($subject);
            }
        )*
    };
}
pub(crate) use subjects;
