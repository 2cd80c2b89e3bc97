//! What a keeper is told of the confinement of its worker.

use super::Site;
use crate::confine::cgroup::{self, Group};
use crate::confine::{Confinement, directory_name, worker};
use crate::plan::needs::needs;
use crate::supervise::contract::{Placeholders, Seat};
use crate::supervise::machine::WorkerId;
use std::path::Path;

/// What the keeper needs to confine the worker; none where nothing is asked for.
pub(super) fn confinement(
    site: &Site,
    seat: Seat<'_>,
    id: WorkerId,
    notify_path: &Path,
    placeholders: &Placeholders,
) -> Option<worker::Spec> {
    let app = seat.app;
    let confinement = &app.confined.confinement;
    if *confinement == Confinement::default() {
        return None;
    }
    let here = site.config.parent().unwrap_or(&site.config);
    let mut needed = needs(&app.kind, &app.settings, here);
    needed.extend([notify_path.to_owned(), site.program.clone()]);
    Some(worker::Spec {
        confinement: confinement.clone(),
        group: group_name(site, seat, id),
        tmp: site.private_tmp.join(directory_name(&app.name)),
        workers_dir: site.workers_dir.clone(),
        needed,
        own: placeholders
            .socket
            .iter()
            .filter_map(|socket| socket.parent())
            .map(Path::to_owned)
            .collect(),
    })
}

pub(super) fn group_name(site: &Site, seat: Seat<'_>, id: WorkerId) -> cgroup::Name {
    cgroup::Name {
        site: site.name.clone(),
        generation: cgroup::Name::generation(&seat.app.name, seat.generation),
        worker: format!("{id}.{}", std::process::id()),
    }
}

pub(super) fn control_group(spec: &worker::Spec) -> Option<Group> {
    let cgroup = spec.confinement.cgroup.as_ref()?;
    Some(Group::named(cgroup, &spec.group))
}
