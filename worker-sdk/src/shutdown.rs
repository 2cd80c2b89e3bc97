//! The wish to stop, as SIGTERM (or SIGINT, where a person runs the program) brings it.

use crate::error::Error;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells when the program is asked to stop. Clones see the same signals, also those that came before they were made.
#[derive(Debug, Clone)]
pub struct Shutdown {
    signals: watch::Receiver<u32>,
}

impl Shutdown {
    /// From here on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Shutdown, Error> {
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let mut term = signal(SignalKind::terminate()).map_err(Error::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
        let (count, signals) = watch::channel(0u32);
        // Ends with the last `Shutdown`, or with the runtime.
        runtime.spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = term.recv() => {}
                    Some(()) = interrupt.recv() => {}
                    () = count.closed() => return,
                    else => return,
                }
                count.send_modify(|count| *count = count.saturating_add(1));
            }
        });
        Ok(Shutdown { signals })
    }

    /// Waits until the program is asked to stop; at once when it was asked before.
    pub async fn requested(&mut self) {
        self.at_least(1).await;
    }

    /// Waits until somebody asks a second time: now, whatever is in flight.
    pub async fn insisted(&mut self) {
        self.at_least(2).await;
    }

    async fn at_least(&mut self, wanted: u32) {
        if self
            .signals
            .wait_for(|count| *count >= wanted)
            .await
            .is_err()
        {
            // The task that listens is gone with its runtime: nothing will ever come.
            std::future::pending::<()>().await;
        }
    }
}
