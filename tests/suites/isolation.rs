//! What a worker is kept from, as it finds out itself (docs/isolation.md). What this machine cannot do is skipped, with a sentence.

use crate::harness::confinement::{
    PYTHON, as_user, ask, can_change_users, confined, guarantees, if_it_can,
};
use crate::harness::{Paster, Site, process};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::Path;

fn error(name: &str) -> Value {
    json!({ "error": name })
}

// Files

#[test]
fn a_read_only_file_system_has_only_the_exceptions() {
    let Some(site) = confined(&["read_only = /", "writable = var"]) else {
        return;
    };
    fs::create_dir(site.path("var")).expect("our own directory");
    let dir = site.dir().display().to_string();
    let paster = site.serve();
    assert_eq!(ask(&paster, &format!("/write?path={dir}/var/new")), 1);
    for path in [&format!("{dir}/new"), "new", "/usr/new", "/var/new"] {
        assert_eq!(
            ask(&paster, &format!("/write?path={path}")),
            error("EROFS"),
            "{path}"
        );
    }
    assert_eq!(
        ask(&paster, "/write?path=/dev/null"),
        1,
        "devices are no files"
    );
    assert_eq!(
        ask(&paster, &format!("/other/write?path={dir}/new")),
        1,
        "the neighbour may"
    );
    assert_eq!(
        fs::read_to_string(paster.site().path("var/new")).expect("written"),
        "x"
    );
}

#[test]
fn single_paths_are_read_only_with_all_below() {
    let Some(site) = confined(&["read_only = data"]) else {
        return;
    };
    fs::create_dir_all(site.path("data/deep")).expect("our own directory");
    let dir = site.dir().display().to_string();
    let paster = site.serve();
    for path in ["data/new", "data/deep/new"] {
        let target = format!("/write?path={dir}/{path}");
        assert_eq!(ask(&paster, &target), error("EROFS"));
    }
    assert_eq!(
        ask(&paster, "/write?path=data/new"),
        error("EROFS"),
        "also by a relative path"
    );
    assert_eq!(ask(&paster, &format!("/write?path={dir}/beside")), 1);
}

#[test]
fn hidden_files_and_directories_cannot_be_opened() {
    let Some(site) = confined(&["hidden = secret key.pem"]) else {
        return;
    };
    let site = site
        .file("secret/deep/file", "x")
        .file("key.pem", "x")
        .file("shown", "x");
    let dir = site.dir().display().to_string();
    let paster = site.serve();
    let read = |path: &str| ask(&paster, &format!("/read?path={dir}/{path}"));
    assert_eq!(read("shown"), "x");
    assert_eq!(read("secret/deep/file"), error("ENOENT"));
    assert_eq!(read("key.pem"), error("EACCES"));
    let seen = ask(&paster, &format!("/list?path={dir}/secret"));
    assert!(
        seen == json!([]) || seen == error("EACCES"),
        "root may look into what is empty: {seen}"
    );
    let made = ask(&paster, &format!("/write?path={dir}/secret/new"));
    assert!(made == error("EROFS") || made == error("EACCES"), "{made}");
    assert_eq!(
        ask(&paster, &format!("/other/read?path={dir}/key.pem")),
        "x"
    );
}

#[test]
fn what_the_app_needs_stays_reachable_in_a_hidden_directory() {
    // The site with its modules and the runtime directory with the notify socket are in it.
    let Some(site) = confined(&["hidden = /tmp"]) else {
        return;
    };
    if !site.dir().starts_with("/tmp") {
        return;
    }
    let paster = site.serve();
    let seen = ask(&paster, "/list?path=/tmp");
    // The tests' own modules may be there, too: in a checkout below /tmp.
    let needed: Vec<_> = [paster.site().dir(), Path::new(env!("CARGO_MANIFEST_DIR"))]
        .into_iter()
        .filter_map(|path| path.strip_prefix("/tmp").ok()?.iter().next()?.to_str())
        .collect();
    let is_needed = |name: &Value| name.as_str().is_some_and(|name| needed.contains(&name));
    assert!(
        seen == error("EACCES")
            || seen
                .as_array()
                .is_some_and(|seen| seen.iter().all(is_needed)),
        "{seen}"
    );
    assert_eq!(
        ask(&paster, "/")["cwd"],
        paster.site().dir().display().to_string()
    );
    let sockets = ask(
        &paster,
        &format!("/list?path={}/w", paster.site().run_dir().display()),
    );
    assert!(
        sockets == error("EACCES") || sockets.as_array().is_some_and(|list| list.len() == 1),
        "it sees no other worker's sockets: {sockets}"
    );
}

#[test]
fn a_private_tmp_is_shared_by_the_workers_of_an_app_and_by_nobody_else() {
    let Some(site) = confined(&["private_tmp = on", "processes = 2"]) else {
        return;
    };
    let paster = site.serve();
    let name = format!("/tmp/paster-test-{}", paster.pid());
    assert_eq!(ask(&paster, &format!("/write?path={name}")), 1);
    assert!(!Path::new(&name).exists(), "it is not the real one");
    assert_eq!(
        ask(&paster, &format!("/other/read?path={name}")),
        error("ENOENT")
    );
    let mut pids = Vec::new();
    paster.wait_for("an answer of both workers", || {
        assert_eq!(ask(&paster, &format!("/read?path={name}")), "x");
        pids.push(ask(&paster, "/")["pid"].as_u64());
        pids.iter().any(|pid| *pid != pids[0]) || pids.len() > 100
    });
    paster.command(&["restart", "home"]).succeeded();
    assert_eq!(
        ask(&paster, &format!("/read?path={name}")),
        "x",
        "it outlives the workers"
    );
    assert_eq!(ask(&paster, "/write?path=/var/tmp/x"), 1);
    let directories = |prefix: &str| {
        let entries = fs::read_dir("/tmp").expect("it exists").flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names
            .filter(|name| name.starts_with(prefix))
            .collect::<Vec<_>>()
    };
    let mounts = fs::read_to_string(format!(
        "/proc/{}/mountinfo",
        paster.status().app("home").pids()[0]
    ));
    let mounts = mounts.expect("it runs");
    let ours = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (point == "/tmp").then(|| root.split('/').find(|part| part.starts_with("paster-")))?
    });
    let ours = ours.expect("a mount on /tmp").to_owned();
    assert_eq!(directories(&ours).len(), 1);
    paster.finish();
    assert_eq!(
        directories(&ours),
        Vec::<String>::new(),
        "removed at the end"
    );
}

#[test]
fn a_trap_in_a_private_tmp_is_not_stepped_into() {
    if !can_change_users() {
        return;
    }
    let Some(site) = confined(&[
        "private_tmp = on",
        "user = nobody",
        &format!("python = {PYTHON}"),
    ]) else {
        return;
    };
    if !site.dir().starts_with("/tmp") {
        return;
    }
    // The app makes a link where a later mount point would be: a new `directory` in the real /tmp.
    let later = tempfile::Builder::new()
        .prefix("pt-later")
        .tempdir_in("/tmp")
        .expect("made");
    let mut paster = site.serve();
    paster.allow_log("in its private /tmp");
    let code = format!("/symlink?target=/etc&path={}", later.path().display());
    assert_eq!(ask(&paster, &code), Value::Null);
    let line = format!("directory = {}", later.path().display());
    paster.edit(|site| site.policy("home", &line));
    let reload = paster.command(&["reload"]);
    assert_eq!(reload.code, Some(1), "{reload:#?}");
    let said = format!("{}{}", reload.stdout, reload.stderr);
    assert!(said.contains("in its private /tmp"), "{said}");
    assert_eq!(
        ask(&paster, "/")["uid"],
        65534,
        "the old generation serves on"
    );
}

#[test]
fn a_path_that_does_not_exist_is_named() {
    let Some(site) = confined(&["read_only = /no/such/path"]) else {
        return;
    };
    let paster = site.serve_unready();
    paster.expect_log("could not be started: read_only /no/such/path: No such file or directory");
    paster.expect_log("there is no /no/such/path, which `read_only` names");
    paster.allow_log("crash loop");
    paster.wait_for_log("read_only /no/such/path");
    paster.wait_until("the neighbour serves", |s| s.app("other").is_ready());
}

// Network

#[test]
fn a_private_network_has_its_own_loopback_and_nothing_else() {
    let Some(site) = confined(&["private_network = on"]) else {
        return;
    };
    let paster = site.serve();
    let outside = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = outside.local_addr().expect("bound").port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = outside.accept().expect("the neighbour connects");
        stream.write_all(b"hello").expect("sent");
    });
    let target = format!("connect?port={port}");
    assert_eq!(ask(&paster, &format!("/{target}")), error("ECONNREFUSED"));
    assert_eq!(ask(&paster, &format!("/other/{target}")), "hello");
    server.join().expect("no panic");
    assert_eq!(ask(&paster, "/interfaces"), json!(["lo"]));
    assert_eq!(ask(&paster, "/loopback"), "127.0.0.1");
    paster.command(&["restart", "home"]).succeeded();
    assert_eq!(paster.get("/").status, 200);
}

// Processes and system calls

#[test]
fn private_signals_reach_only_what_the_worker_has_started() {
    let Some(site) = confined(&["private_signals = on"]) else {
        return;
    };
    let paster = site.serve();
    let neighbour = paster.status().app("other").pid();
    for pid in [
        paster.pid(),
        neighbour,
        process::parent(neighbour).expect("its keeper"),
    ] {
        let target = format!("signal?pid={pid}");
        assert_eq!(ask(&paster, &format!("/{target}")), error("EPERM"));
        assert_eq!(
            ask(&paster, &format!("/other/{target}")),
            Value::Null,
            "the same user may"
        );
    }
    assert_eq!(ask(&paster, "/signal_child"), -15);
    let dir = paster.site().dir().display().to_string();
    fs::create_dir(paster.site().path("sub")).expect("our own directory");
    let rename = format!("/rename?old={dir}/prisoner.py&new={dir}/sub/prisoner.py");
    assert_eq!(
        ask(&paster, &rename),
        Value::Null,
        "files are not concerned"
    );
}

#[test]
fn seccomp_denies_what_no_app_needs_and_nothing_else() {
    let Some(site) = confined(&["seccomp = on"]) else {
        return;
    };
    let paster = site.serve();
    const NEWNS: &str = "0x20000";
    const NEWUSER: &str = "0x10000000";
    const PACKET: u32 = 17;
    for target in [
        "/mount".to_owned(),
        "/trace".to_owned(),
        format!("/unshare?flags={NEWNS}"),
        format!("/unshare?flags={NEWUSER}"),
        format!("/socket?family={PACKET}&type=3"),
    ] {
        assert_eq!(ask(&paster, &target), error("EPERM"), "{target}");
    }
    let files = "0x400";
    assert_eq!(
        ask(&paster, &format!("/unshare?flags={files}")),
        Value::Null
    );
    for family in [1, 2, 10, 16] {
        let kind = if family == 16 { 3 } else { 1 };
        let target = format!("socket?family={family}&type={kind}");
        let (here, beside) = (
            ask(&paster, &format!("/{target}")),
            ask(&paster, &format!("/other/{target}")),
        );
        assert_eq!(here, beside, "family {family}");
    }
    assert_eq!(ask(&paster, "/ordinary"), json!([8, "42"]));
    assert_eq!(ask(&paster, "/loopback"), "127.0.0.1");
}

// All together

#[test]
fn a_worker_with_all_of_it_has_its_five_descriptors_and_serves() {
    if !can_change_users() {
        return;
    }
    let settings = [
        "user = nobody",
        "cgroup_memory = 200M",
        "cgroup_cpu = 2",
        "cgroup_pids = 50",
        "private_tmp = on",
        "private_network = on",
        "private_signals = on",
        "read_only = /",
        "hidden = /root /boot",
        "seccomp = on",
    ];
    let site = Site::new()
        .exec("plain", "/plain", &format!("{PYTHON} {{here}}/server.py"))
        .exec(
            "socket",
            "/socket",
            &format!("{PYTHON} {{here}}/server.py --socket {{socket}}"),
        )
        .server("unused", "/unused", "")
        .without("unused");
    let site = settings
        .iter()
        .fold(site, |site, line| site.policy("", line));
    let Some(site) = if_it_can(site) else {
        return;
    };
    let paster = site.serve();
    let process = paster.get("/plain/process").json();
    let mut numbers: Vec<&str> = process["descriptors"]
        .as_object()
        .expect("an object")
        .iter()
        .filter(|(_, target)| !target.as_str().expect("text").ends_with("/fd"))
        .map(|(number, _)| number.as_str())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, ["0", "1", "2", "3", "4"], "{process}");
    assert_eq!(paster.get("/socket/").status, 200);
    paster.command(&["restart"]).succeeded();
    assert_eq!(paster.get("/plain/").status, 200);
    assert_eq!(paster.get("/socket/").status, 200);
}

/// What needs no root.
const FOR_EVERYBODY: [&str; 6] = [
    "private_tmp = on",
    "private_network = on",
    "private_signals = on",
    "read_only = /",
    "writable = var",
    "hidden = /etc/hostname",
];

#[test]
fn a_user_can_confine_apps_without_root() {
    if !can_change_users() {
        return;
    }
    const UID: u32 = 61_231;
    let site = Site::new()
        .prisoner("home", "/")
        .policy("home", "seccomp = on");
    let site = FOR_EVERYBODY
        .iter()
        .fold(site, |site, line| site.policy("home", line));
    fs::create_dir(site.path("var")).expect("our own directory");
    let site = site.policy("", &format!("python = {PYTHON}"));
    let Some(site) = if_it_can(as_user(site, UID)) else {
        return;
    };
    let dir = site.dir().display().to_string();
    let paster = site.serve();
    assert_eq!(ask(&paster, "/")["uid"], UID);
    assert_eq!(
        ask(&paster, &format!("/write?path={dir}/new")),
        error("EROFS")
    );
    assert_eq!(ask(&paster, &format!("/write?path={dir}/var/new")), 1);
    assert_eq!(ask(&paster, "/read?path=/etc/hostname"), error("EACCES"));
    assert_eq!(ask(&paster, "/interfaces"), json!(["lo"]));
    assert_eq!(ask(&paster, "/write?path=/tmp/new"), 1);
    assert_eq!(
        ask(&paster, &format!("/signal?pid={}", paster.pid())),
        error("EPERM")
    );
    let root = format!("/read?path=/proc/{}/root/etc/hostname", paster.pid());
    assert_eq!(
        ask(&paster, &root),
        error("EACCES"),
        "no way around by other processes"
    );
    paster.command(&["restart"]).succeeded();
    assert_eq!(ask(&paster, "/ordinary"), json!([8, "42"]));
}

#[test]
fn without_namespaces_landlock_protects_files_and_the_rest_is_refused() {
    if !can_change_users() {
        return;
    }
    let site = Site::new().prisoner("home", "/");
    let site = FOR_EVERYBODY
        .iter()
        .fold(site, |site, line| site.policy("home", line));
    let site = site
        .policy("", &format!("python = {PYTHON}"))
        .file("secret/key", "x")
        .file("readable", "x");
    fs::create_dir(site.path("var")).expect("our own directory");
    // As in a container that withholds it.
    let site = site
        .policy("home", "hidden = secret")
        .wrapped(&["setpriv", "--bounding-set=-sys_admin"]);

    let refused = Paster::refused(&site);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    for key in ["private_tmp", "private_network"] {
        let message = format!("`{key}` of app `home` does not hold here");
        assert!(refused.stderr.contains(&message), "{refused:#?}");
    }
    assert!(refused.stderr.contains("CAP_SYS_ADMIN") && refused.stderr.contains("site.ini:"));

    let site = site.policy("home", "isolation = warn");
    let found = guarantees(&site, "home");
    let of = |key: &str| {
        found
            .iter()
            .find(|guarantee| guarantee["key"] == key)
            .expect(key)
    };
    assert_eq!(of("private_network")["holds"], false);
    if of("hidden")["holds"] == false {
        return; // no Landlock either
    }
    assert!(
        of("hidden")["why"]
            .as_str()
            .is_some_and(|why| why.starts_with("Landlock"))
    );
    let dir = site.dir().display().to_string();
    let paster = site.serve();
    paster.allow_log("is served without");
    let at = |what: &str, path: &str| ask(&paster, &format!("/{what}?path={dir}/{path}"));
    assert_eq!(at("read", "secret/key"), error("EACCES"));
    assert_eq!(at("list", "secret"), json!(["key"]), "names are not hidden");
    assert_eq!(at("write", "secret/new"), error("EACCES"));
    assert_eq!(at("read", "readable"), "x");
    assert_eq!(at("write", "new"), error("EACCES"));
    assert_eq!(at("write", "var/new"), 1);
    assert_eq!(ask(&paster, "/ordinary"), json!([8, "42"]));
}

#[test]
fn contradictions_are_errors_with_their_line() {
    let cases = [
        (
            "private_network = on",
            "cannot be reached with `private_network`",
        ),
        ("hidden = .", "which app `home` needs"),
        ("hidden = /", "`hidden` cannot contain `/`"),
        (
            "seccomp = on\nno_new_privileges = off",
            "cannot be had with `no_new_privileges = off`",
        ),
    ];
    for (settings, message) in cases {
        let site = Site::new().server("home", "/", "--port {port}");
        let site = settings
            .lines()
            .fold(site, |site, line| site.policy("home", line));
        let refused = Paster::refused(&site);
        assert_eq!(refused.code, Some(1), "{refused:#?}");
        assert!(
            refused.stderr.contains(message) && refused.stderr.contains("site.ini:"),
            "{settings}: {refused:#?}"
        );
    }
}

#[test]
fn check_says_what_holds() {
    let site = Site::new()
        .prisoner("home", "/")
        .prisoner("plain", "/plain")
        .policy("", "isolation = warn")
        .policy("home", "private_network = on")
        .policy("home", "cgroup_memory = 64M");
    assert_eq!(guarantees(&site, "plain"), Vec::<Value>::new());
    let found = guarantees(&site, "home");
    let keys: Vec<&str> = found
        .iter()
        .filter_map(|guarantee| guarantee["key"].as_str())
        .collect();
    assert_eq!(keys, ["cgroup_memory", "private_network"]);
    let text = Paster::run(&site, &["check", "site.ini"])
        .succeeded()
        .stdout;
    assert!(
        text.contains("isolation of home") && !text.contains("isolation of plain"),
        "{text}"
    );
    for guarantee in &found {
        let said = match guarantee["holds"] == true {
            true => "holds",
            false => "does not hold here",
        };
        let key = guarantee["key"].as_str().expect("text");
        let row = text
            .lines()
            .find(|line| line.trim_start().starts_with(key) && line.contains(said));
        assert!(row.is_some(), "{text}");
    }
}
