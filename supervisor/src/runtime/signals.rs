//! Signals, and what they mean.

use crate::supervise::driver::Order;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use std::io;
use tokio::signal::unix::SignalKind;
use tokio::sync::mpsc;

/// The signals that are orders.
const ORDERS: [(Signal, Order); 9] = [
    (Signal::SIGTERM, Order::Stop),
    (Signal::SIGINT, Order::Stop),
    (Signal::SIGQUIT, Order::StopNow),
    (Signal::SIGHUP, Order::Reload),
    (Signal::SIGUSR1, Order::ReopenLogs),
    (Signal::SIGUSR2, Order::Upgrade),
    (Signal::SIGCHLD, Order::LookForStrangers),
    (Signal::SIGTTIN, Order::Scale(1)),
    (Signal::SIGTTOU, Order::Scale(-1)),
];

/// Lets the signals that are orders wait, or come.
pub(super) fn hold(hold: bool) -> io::Result<()> {
    let mut set = SigSet::empty();
    ORDERS.iter().for_each(|(signal, _)| set.add(*signal));
    let how = if hold {
        SigmaskHow::SIG_BLOCK
    } else {
        SigmaskHow::SIG_UNBLOCK
    };
    Ok(pthread_sigmask(how, Some(&set), None)?)
}

/// Signals, translated into orders. The handlers are in place before the first process is started; what came while another
/// program made place for us comes now.
pub(super) fn orders() -> io::Result<(mpsc::WeakSender<Order>, mpsc::Receiver<Order>)> {
    let (sender, orders) = mpsc::channel(16);
    for (signal, order) in ORDERS {
        let mut stream = tokio::signal::unix::signal(SignalKind::from_raw(signal as i32))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                let _ = sender.send(order).await;
            }
        });
    }
    self::hold(false)?;
    Ok((sender.downgrade(), orders))
}
