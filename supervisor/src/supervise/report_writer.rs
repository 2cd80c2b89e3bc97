//! Writing crash reports beside the loop: one after the other, never waited for, and a disk that is full or slow harms
//! nobody.

use crate::reports::report::CrashReport;
use crate::reports::store::Store;
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

/// Reports that may wait for the disk; more are not kept.
const WAITING: usize = 64;
/// How long the last reports may take when paster ends.
const LAST_WAIT: Duration = Duration::from_secs(2);

struct Job {
    report: CrashReport,
    keep: usize,
}

/// The way of reports to the disk. Until there is one, it is nothing but a path.
pub(super) struct ReportWriter {
    store: Store,
    running: Option<(mpsc::Sender<Job>, JoinHandle<()>)>,
    /// It has been told that reports were dropped.
    overrun: bool,
}

impl ReportWriter {
    pub(super) fn new(store: Store) -> ReportWriter {
        ReportWriter {
            store,
            running: None,
            overrun: false,
        }
    }

    /// Keeps a report, and at most `keep` of its app. `apps` are those that are configured.
    pub(super) fn keep<'a>(
        &mut self,
        report: CrashReport,
        keep: usize,
        apps: impl Iterator<Item = &'a String>,
    ) {
        let (jobs, _) = self.running.get_or_insert_with(|| {
            let (jobs, receiver) = mpsc::channel(WAITING);
            let apps = apps.cloned().collect();
            (
                jobs,
                tokio::spawn(write(self.store.clone(), apps, receiver)),
            )
        });
        if let Err(error) = jobs.try_send(Job { report, keep }) {
            let report = &error.into_inner().report.id;
            if !std::mem::replace(&mut self.overrun, true) {
                tracing::warn!(
                    report,
                    "crash reports come faster than they can be written; some are not kept"
                );
            }
        }
    }

    /// Waits until the last report is on disk, but not for ever.
    pub(super) async fn finish(&mut self) {
        if let Some((jobs, task)) = self.running.take() {
            drop(jobs);
            let _ = tokio::time::timeout(LAST_WAIT, task).await;
        }
    }
}

async fn write(store: Store, apps: Vec<String>, mut jobs: mpsc::Receiver<Job>) {
    let mut trouble = Trouble { told: false };
    let tidied = store.clone();
    trouble.judge(&store, spawn_blocking(move || tidied.tidy(&apps)).await);
    while let Some(Job { report, keep }) = jobs.recv().await {
        let to = store.clone();
        trouble.judge(&store, spawn_blocking(move || to.add(report, keep)).await);
    }
}

/// What goes wrong is told once, and again only after something went right.
struct Trouble {
    told: bool,
}

impl Trouble {
    fn judge(&mut self, store: &Store, result: Result<io::Result<()>, tokio::task::JoinError>) {
        let error = match result {
            Ok(Ok(())) => {
                self.told = false;
                return;
            }
            Ok(Err(error)) => error,
            // The runtime is ending.
            Err(_) => return,
        };
        if !std::mem::replace(&mut self.told, true) {
            let directory = store.dir().display();
            tracing::warn!(%directory, %error, "crash reports cannot be kept; everything else goes on");
        }
    }
}
