//! Who may give commands: root, and the user that paster runs as.
//!
//! The socket is 0600 in a private directory; this holds should someone widen that.

use super::kinds;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;

/// How often strangers are worth a line in the log.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Why a connection gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "user {uid} may not give commands to this paster; user {ours}, who runs it, and root may"
    )]
    Stranger { uid: u32, ours: u32 },
    #[error("the kernel does not say who you are")]
    Unknown,
}

/// Looks at who connects, and says so when somebody is refused.
#[derive(Debug, Default)]
pub(super) struct Doorkeeper {
    told: Option<Instant>,
}

impl Doorkeeper {
    /// Asks the kernel who is at the other end (SO_PEERCRED, unix(7)).
    pub(super) fn admit(&mut self, stream: &UnixStream) -> Result<(), Refusal> {
        let ours = nix::unistd::geteuid().as_raw();
        let peer = stream.peer_cred().ok();
        let verdict = judge(peer.map(|peer| peer.uid()), ours);
        if let Err(refusal) = &verdict
            && self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY)
        {
            self.told = Some(Instant::now());
            let pid = peer.and_then(|peer| peer.pid());
            tracing::warn!(name: kinds::CONTROL_REFUSED, pid, "refused a control connection: {refusal}");
        }
        verdict
    }
}

fn judge(uid: Option<u32>, ours: u32) -> Result<(), Refusal> {
    match uid {
        None => Err(Refusal::Unknown),
        Some(uid) if uid == 0 || uid == ours => Ok(()),
        Some(uid) => Err(Refusal::Stranger { uid, ours }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_our_own_user_may_nobody_else() {
        assert_eq!(judge(Some(0), 1000), Ok(()));
        assert_eq!(judge(Some(1000), 1000), Ok(()));
        let (uid, ours) = (1001, 1000);
        assert_eq!(judge(Some(uid), ours), Err(Refusal::Stranger { uid, ours }));
        assert_eq!(
            judge(Some(1), 0),
            Err(Refusal::Stranger { uid: 1, ours: 0 })
        );
        assert_eq!(judge(None, 0), Err(Refusal::Unknown));
    }
}
