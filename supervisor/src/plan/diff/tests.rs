use super::*;
use crate::confine::verdict::Verdict;
use crate::plan::spec::Listen;
use crate::plan::testing;
use crate::router::access_log::{AccessLog, LogFormat};
use crate::router::answers::Answers;
use crate::router::limits::ClientLimits;
use crate::router::message::{Handover, RouteNode};
use std::collections::BTreeMap;
use std::time::Duration;

fn spec(name: &str) -> AppSpec {
    let node = testing::app(name);
    AppSpec {
        name: name.to_owned(),
        origin: node.origin.clone(),
        kind: AppKind::Python {
            tree: Box::new(node),
            interpreter: "/usr/bin/python3".into(),
            python_path: vec!["/srv".into()],
            logging: None,
        },
        mounts: vec![format!("/{name}")],
        handover: Handover::Environ,
        settings: Settings::default(),
        confined: Verdict::default(),
        debug: false,
    }
}

fn plan(apps: &[&str]) -> Plan {
    Plan {
        config: testing::FILE.into(),
        listen: vec![Endpoint {
            listen: Listen::Tcp {
                host: "127.0.0.1".to_owned(),
                port: 8080,
            },
            manner: Manner::default(),
        }],
        root: RouteNode::App {
            app: "a".to_owned(),
        },
        apps: apps
            .iter()
            .map(|name| ((*name).to_owned(), spec(name)))
            .collect::<BTreeMap<_, _>>(),
        debug: false,
        trusted_proxy: vec![],
        limits: ClientLimits::default(),
        redirects: vec![],
        answers: Answers::default(),
        pages: Default::default(),
        access_log: AccessLog::Off,
        cuts: vec![],
        warnings: vec![],
        files: vec![],
    }
}

/// The difference that `edit` makes to app `a` of a plan of `a` and `b`.
fn after(edit: impl FnOnce(&mut AppSpec)) -> Changes {
    let old = plan(&["a", "b"]);
    let mut new = old.clone();
    edit(new.apps.get_mut("a").expect("app a"));
    diff(&old, &new)
}

fn changed() -> Changes {
    Changes {
        changed: vec!["a".to_owned()],
        ..Changes::default()
    }
}

fn policy_changed() -> Changes {
    Changes {
        policy_changed: vec!["a".to_owned()],
        ..Changes::default()
    }
}

fn tree(app: &mut AppSpec) -> &mut Node {
    match &mut app.kind {
        AppKind::Python { tree, .. } => tree,
        _ => panic!("a Python app"),
    }
}

#[test]
fn equal_plans_differ_in_nothing() {
    assert!(diff(&plan(&["a", "b"]), &plan(&["a", "b"])).is_empty());
}

#[test]
fn lines_that_move_change_nothing() {
    let changes = after(|app| {
        app.origin.line += 7;
        tree(app).origin.line += 7;
        tree(app).origin.factory_line += 7;
    });
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn warnings_and_explanations_change_nothing() {
    let mut new = plan(&["a"]);
    new.warnings
        .push(crate::config::problem::Problem::new("Warning", "something"));
    new.files.push("/srv/other.ini".into());
    assert!(diff(&plan(&["a"]), &new).is_empty());
}

#[test]
fn apps_come_and_go() {
    let changes = diff(&plan(&["a", "b"]), &plan(&["b", "c"]));
    assert_eq!(
        (changes.added, changes.removed),
        (vec!["c".to_owned()], vec!["a".to_owned()])
    );
    assert!(changes.changed.is_empty());
}

#[test]
fn an_option_of_one_app_restarts_that_app_only() {
    let changes = after(|app| {
        tree(app)
            .local_conf
            .insert("title".to_owned(), "new".to_owned());
    });
    assert_eq!(changes, changed());
}

#[test]
fn what_a_worker_was_told_restarts_it() {
    assert_eq!(after(|app| app.settings.threads = 9), changed());
    assert_eq!(after(|app| app.settings.umask = Some(0o77)), changed());
    assert_eq!(
        after(|app| app.settings.directory = Some("/tmp".into())),
        changed()
    );
    assert_eq!(after(|app| app.debug = true), changed());
    assert_eq!(after(|app| app.mounts.push("/more".to_owned())), changed());
    let told = after(|app| {
        app.settings
            .environment
            .insert("A".to_owned(), "1".to_owned());
    });
    assert_eq!(told, changed());
}

#[test]
fn how_it_is_looked_after_does_not() {
    assert_eq!(after(|app| app.settings.processes = 3), policy_changed());
    assert_eq!(
        after(|app| app.settings.drain_timeout = Duration::ZERO),
        policy_changed()
    );
    assert_eq!(after(|app| app.settings.queue = 1), policy_changed());
    assert_eq!(
        after(|app| app.settings.log.rotation.keep = 1),
        policy_changed()
    );
    assert_eq!(after(|app| app.handover = Handover::Keep), policy_changed());
}

#[test]
fn what_runs_keeps_what_it_was_told_and_is_looked_after_anew() {
    let running = spec("a");
    let mut wanted = spec("a");
    tree(&mut wanted)
        .local_conf
        .insert("title".to_owned(), "new".to_owned());
    wanted.handover = Handover::Keep;
    wanted.settings = Settings {
        processes: 7,
        queue: 1,
        threads: 9,
        directory: Some("/tmp".into()),
        environment: [("A".to_owned(), "1".to_owned())].into(),
        umask: Some(0o77),
        nice: Some(1),
        limits: [("nofile".to_owned(), Some(1))].into(),
        no_new_privileges: false,
        watchdog: Some(Duration::from_secs(1)),
        ..wanted.settings
    };
    let both = looked_after(&running, &wanted);
    assert!(!needs_new_processes(&running, &both));
    assert_eq!(
        (both.settings.processes, both.settings.queue, both.handover),
        (7, 1, Handover::Keep)
    );
}

#[test]
fn listeners_routes_and_the_rest_are_told_apart() {
    let old = plan(&["a"]);
    let edited = |edit: &dyn Fn(&mut Plan)| {
        let mut new = old.clone();
        edit(&mut new);
        diff(&old, &new)
    };
    let only = Changes::default;
    assert_eq!(
        edited(&|plan| plan.listen.clear()),
        Changes {
            listeners_changed: true,
            ..only()
        }
    );
    let elsewhere = RouteNode::App {
        app: "elsewhere".to_owned(),
    };
    assert_eq!(
        edited(&|plan| plan.root = elsewhere.clone()),
        Changes {
            routes_changed: true,
            ..only()
        }
    );
    let log = AccessLog::Stdout {
        format: LogFormat::Json,
    };
    assert_eq!(
        edited(&|plan| plan.access_log = log.clone()),
        Changes {
            access_log_changed: true,
            ..only()
        }
    );
    assert_eq!(
        edited(&|plan| plan.debug = true),
        Changes {
            table_changed: true,
            ..only()
        }
    );
}
