//! A thread for files, so that a slow disk keeps no request thread from its other requests.

use crate::sys::shortage::Complaints;
use std::cell::{OnceCell, RefCell};
use std::io;
use std::sync::mpsc;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The disk as one request thread sees it. The thread behind it starts with the first use and does one job after the other; each
/// body has one at most, so their number is bounded by that of the requests.
#[derive(Debug, Default)]
pub(super) struct Disk {
    jobs: OnceCell<mpsc::Sender<Job>>,
    complaints: RefCell<Complaints>,
}

/// What a job will return.
pub(super) type Outcome<T> = oneshot::Receiver<io::Result<T>>;

impl Disk {
    /// Has `job` done.
    ///
    /// # Errors
    /// The thread cannot be started now.
    pub(super) fn start<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<Outcome<T>> {
        let (sender, outcome) = oneshot::channel();
        let job: Job = Box::new(move || {
            // Nobody waits when the request has ended meanwhile.
            let _ = sender.send(job());
        });
        self.thread()?.send(job).map_err(|_| gone())?;
        Ok(outcome)
    }

    /// As [`Disk::start`], waiting for what it returns.
    ///
    /// # Errors
    /// Those of the job, and of starting it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.start(job)?.await.unwrap_or_else(|_| Err(gone()))
    }

    /// It is worth a line in the log that a job has failed.
    pub(super) fn may_complain(&self) -> bool {
        self.complaints.borrow_mut().are_due()
    }

    fn thread(&self) -> io::Result<&mpsc::Sender<Job>> {
        if let Some(jobs) = self.jobs.get() {
            return Ok(jobs);
        }
        let (sender, receiver) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("disk".into())
            .spawn(move || {
                for job in receiver {
                    job();
                }
            })?;
        Ok(self.jobs.get_or_init(|| sender))
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread for files has ended")
}
