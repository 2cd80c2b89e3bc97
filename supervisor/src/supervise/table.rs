//! From plan and actual state to the route table. Pure.

use super::machine::{AppMachine, AppState};
use crate::plan::spec::{AppKind, AppSpec, Plan};
use crate::router::message::{
    App, Death, Maintenance, Serving, Suspect, Table, Worker, WorkerAddress, WorkerId,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the table needs to know of an app besides its machine.
pub struct AppView<'a> {
    pub spec: &'a AppSpec,
    pub machine: &'a AppMachine,
    /// Address and pid of each launched worker.
    pub launched: &'a dyn Fn(WorkerId) -> Option<(WorkerAddress, u32)>,
    pub last_death: Option<&'a Death>,
    pub maintenance: Option<Maintenance>,
    pub suspects: Vec<Suspect>,
}

/// The table of this moment.
pub fn table<'a>(version: u64, plan: &Plan, apps: impl Iterator<Item = AppView<'a>>) -> Table {
    let apps: BTreeMap<String, App> = apps
        .map(|view| (view.spec.name.clone(), app(&view)))
        .collect();
    Table {
        version,
        root: plan.root.clone(),
        apps,
        debug: plan.debug,
        trusted_proxy: plan.trusted_proxy.clone(),
        limits: plan.limits,
        redirects: plan.redirects.clone(),
        answers: Box::new(plan.answers.clone()),
        pages: Arc::clone(&plan.pages),
    }
}

fn app(view: &AppView) -> App {
    let settings = &view.spec.settings;
    let max_in_flight = settings.threads as usize;
    let workers = match &view.spec.kind {
        AppKind::Upstream { address } if view.machine.state() != AppState::Stopped => {
            vec![Worker {
                // It has no processes, so this id is never given to one.
                id: view.machine.first_id(),
                slot: 0,
                generation: 0,
                pid: 0,
                address: address.clone(),
                max_in_flight,
            }]
        }
        AppKind::Upstream { .. } | AppKind::Static(_) => Vec::new(),
        AppKind::Python { .. } | AppKind::Exec { .. } => ready_workers(view, max_in_flight),
    };
    App {
        serving: serving(view),
        maintenance: view.maintenance.clone(),
        handover: view.spec.handover,
        workers,
        queue: settings.queue,
        queue_timeout_ms: millis(settings.queue_timeout),
        request_timeout_ms: settings.request_timeout.map(millis),
        buffering: view.spec.buffers_requests(),
        max_body: settings.max_body,
        answers: settings.answers.clone(),
        traced: settings.traced,
        unlogged: settings.unlogged,
        scales: settings.most_processes() > settings.processes,
        last_death: view.last_death.cloned(),
        suspects: view.suspects.clone(),
        sendfile: settings.sendfile.clone(),
        files: match &view.spec.kind {
            AppKind::Static(files) => Some(files.clone()),
            AppKind::Python { .. } | AppKind::Exec { .. } | AppKind::Upstream { .. } => None,
        },
    }
}

fn ready_workers(view: &AppView, max_in_flight: usize) -> Vec<Worker> {
    view.machine
        .serving()
        .filter_map(|(id, worker)| {
            let (address, pid) = (view.launched)(id)?;
            Some(Worker {
                id,
                slot: worker.slot,
                generation: worker.generation,
                pid,
                address,
                max_in_flight,
            })
        })
        .collect()
}

fn serving(view: &AppView) -> Serving {
    match view.machine.state() {
        AppState::Failed => {
            let retry_after_s = view.spec.settings.restart_max_delay.as_secs().max(1);
            Serving::Failed { retry_after_s }
        }
        AppState::Stopped => Serving::Stopped,
        AppState::Idle => Serving::Idle,
        AppState::Starting | AppState::Ready | AppState::Degraded | AppState::Backoff => {
            Serving::Up
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
