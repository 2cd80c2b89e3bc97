//! A conversation at rest: plain data and descriptors.

use super::task::Task;
use super::{Conversation, Launched, MAX_LINE, TemplateState, start};
use crate::confine::cgroup::Group;
use crate::logs::{Released, Source, latin1};
use crate::plan::spec::Readiness;
use crate::router::message::WorkerAddress;
use crate::supervise::launch::Site;
use crate::supervise::upgrade::Descriptors;
use crate::sys::process::Child;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::{UnixDatagram, UnixStream};
use tokio_util::codec::{Framed, FramedParts, LinesCodec};

/// A conversation at rest. Descriptors are given by their numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frozen {
    link: RawFd,
    /// What the keeper has said that was not yet a whole line.
    unread: Vec<u8>,
    notify: RawFd,
    listener: Option<RawFd>,
    streams: [FrozenStream; 2],
    files: Vec<PathBuf>,
    #[serde(default)]
    group: Option<Group>,
    readiness: Readiness,
    spawned: bool,
    ready: bool,
    #[serde(default)]
    template: Option<TemplateState>,
}

/// A pipe of the worker's output; none at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FrozenStream {
    pipe: Option<RawFd>,
    /// The beginning of a line.
    #[serde(with = "latin1")]
    partial: Vec<u8>,
}

/// Goes on with a frozen conversation; where there is none, it has ended, and its last news is on its way.
///
/// # Errors
/// A descriptor that was not handed over, or that the runtime cannot watch.
pub(in super::super) fn thaw(
    site: &Site,
    app: &str,
    source: Source,
    (keeper_pid, address): (Option<u32>, Option<WorkerAddress>),
    frozen: Option<Frozen>,
    descriptors: &mut Descriptors,
) -> io::Result<Launched> {
    let Some(frozen) = frozen else {
        let (output, _) = site.logs.attach(app, source, Default::default())?;
        return Ok(Launched::ended(output, keeper_pid));
    };
    let link = std::os::unix::net::UnixStream::from(descriptors.take(frozen.link)?);
    let notify = std::os::unix::net::UnixDatagram::from(descriptors.take(frozen.notify)?);
    let mut parts = FramedParts::new::<String>(
        UnixStream::from_std(link)?,
        LinesCodec::new_with_max_length(MAX_LINE),
    );
    parts.read_buf.extend_from_slice(&frozen.unread);
    let listener = match frozen.listener {
        Some(number) => Some(Arc::new(UnixListener::from(descriptors.take(number)?))),
        None => None,
    };
    let mut pipe = |frozen: FrozenStream| -> io::Result<Released> {
        let read_end = frozen.pipe.map(|number| descriptors.take(number));
        Ok(Released {
            read_end: read_end.transpose()?,
            partial: frozen.partial,
        })
    };
    let [stdout, stderr] = frozen.streams;
    let pipes = [pipe(stdout)?, pipe(stderr)?];
    let id = source.worker;
    let output = site.logs.attach(app, source, pipes)?;
    let conversation = Conversation {
        id,
        keeper: keeper_pid.map(Child::watch).transpose()?,
        link: Framed::from_parts(parts),
        notify: UnixDatagram::from_std(notify)?,
        files: frozen.files,
        group: frozen.group,
        proxy_uid: site.proxy_uid,
        readiness: frozen.readiness,
        listener,
        address,
        spawned: frozen.spawned,
        ready: frozen.ready,
        template: frozen.template,
    };
    Ok(start(site, conversation, None, output))
}

impl Task {
    /// Ends the conversation here.
    pub(super) async fn freeze(self) -> (Frozen, Descriptors) {
        let mut descriptors = Descriptors::default();
        let streams = self.output.release().await.map(|pipe| FrozenStream {
            pipe: pipe.read_end.map(|fd| descriptors.put(fd)),
            partial: pipe.partial,
        });
        let Conversation {
            link,
            notify,
            listener,
            files,
            group,
            readiness,
            spawned,
            ready,
            template,
            ..
        } = self.conversation;
        let parts = link.into_parts();
        let unread = parts.read_buf.to_vec();
        let mut put =
            |fd: io::Result<std::os::fd::OwnedFd>| fd.map_or(-1, |fd| descriptors.put(fd));
        let link = put(parts.io.into_std().map(Into::into));
        let notify = put(notify.into_std().map(Into::into));
        // The probe is at its end, so this is the only one.
        let listener = listener
            .and_then(Arc::into_inner)
            .map(|listener| put(Ok(listener.into())));
        let frozen = Frozen {
            link,
            unread,
            notify,
            listener,
            streams,
            files,
            group,
            readiness,
            spawned,
            ready,
            template,
        };
        (frozen, descriptors)
    }
}
