//! Files that change: with `--reload` those of the configuration and of the apps, with `watch` those that a setting names.

use crate::harness::{Paster, Site};
use std::fs;

/// An app that says `text`, and imports what `imports` says.
fn saying(text: &str, imports: &str) -> String {
    format!(
        "{imports}\ndef factory(global_conf):\n    def app(environ, start_response):\n        start_response('200 OK', [('Content-Type', \
         'text/plain')])\n        return [{text}.encode()]\n    return app\n"
    )
}

fn reloading(site: Site) -> Site {
    site.argument("--reload").argument("--reload-interval=0.05")
}

#[track_caller]
fn write(paster: &Paster, name: &str, text: &str) {
    fs::write(paster.site().path(name), text).expect("our own directory");
}

#[track_caller]
fn wait_for_text(paster: &Paster, path: &str, text: &str) {
    paster.wait_for(&format!("{path} says {text}"), || paster.text(path) == text);
}

#[test]
fn a_module_that_is_edited_restarts_its_app_and_no_other_without_a_lost_request() {
    let site = Site::new()
        .python("one", "/one", &saying("word", "from words import word"))
        .file("words.py", "word = 'old'\n")
        .python("two", "/two", &saying("'two'", ""));
    let paster = reloading(site).serve();
    let two = paster.status().app("two").pid();
    assert_eq!(paster.text("/one"), "old");
    let load = paster.load("/one", 2, 50);
    for word in ["new", "newer"] {
        write(&paster, "words.py", &format!("word = '{word}'\n"));
        wait_for_text(&paster, "/one", word);
    }
    let result = load.finish();
    assert!(result.is_clean(), "{result}");
    let status = paster.status();
    assert!(status.app("one").generation >= 3, "{status:#?}");
    assert_eq!(
        (status.app("two").pid(), status.app("two").generation),
        (two, 1)
    );
    paster.wait_for_log("files=\"words.py\"");
}

#[test]
fn files_that_are_replaced_put_aside_or_given_an_older_time_have_changed() {
    let site = Site::new().python("home", "/", &saying("'first'", ""));
    let paster = reloading(site).serve();
    let home = paster.site().path("home.py");
    let aside = paster.site().path("home.py~");

    // As many editors save: a whole new file takes the name.
    write(&paster, "home.py~", &saying("'renamed'", ""));
    fs::rename(&aside, &home).expect("our own files");
    wait_for_text(&paster, "/", "renamed");

    fs::rename(&home, &aside).expect("our own files");
    write(&paster, "home.py", &saying("'put aside'", ""));
    wait_for_text(&paster, "/", "put aside");

    fs::rename(&aside, &home).expect("our own files");
    wait_for_text(&paster, "/", "renamed");
}

#[test]
fn an_error_is_shown_the_old_workers_serve_on_and_mending_it_is_enough() {
    let site = Site::new().python("home", "/", &saying("'good'", ""));
    let paster = reloading(site).serve();
    paster.expect_log("new generation given up; the old one serves on");
    paster.allow_log("exited with status 1");
    let pid = paster.status().app("home").pid();
    write(&paster, "home.py", "def factory(global_conf:\n");
    paster.wait_for_log("SyntaxError");
    paster.wait_for_log("new generation given up");
    assert_eq!(paster.text("/"), "good");
    assert_eq!(paster.status().app("home").pid(), pid);

    // The fault is in a module now that no running worker knows, and then in one that does not exist.
    write(&paster, "fresh.py", "word = (\n");
    write(
        &paster,
        "home.py",
        &saying("word", "from fresh import word"),
    );
    paster.wait_for_log("fresh.py");
    write(&paster, "fresh.py", "from fresher import word\n");
    paster.wait_for_log("No module named 'fresher'");
    assert_eq!(paster.text("/"), "good");
    write(&paster, "fresher.py", "word = 'better'\n");
    wait_for_text(&paster, "/", "better");
}

#[test]
fn an_app_that_never_came_up_comes_up_when_it_is_mended() {
    let site = Site::new()
        .python("home", "/", "import nothing_of_this_name\n")
        .policy("home", "restart_delay = 30s");
    let paster = reloading(site).serve_unready();
    paster.expect_log("exited with status 1");
    paster.wait_until("it waits", |s| s.app("home").state == "backoff");
    write(&paster, "home.py", &saying("'here'", ""));
    wait_for_text(&paster, "/", "here");
}

#[test]
fn what_is_imported_late_is_watched_too() {
    let late = "def factory(global_conf):\n    def app(environ, start_response):\n        import late\n        start_response('200 OK', \
                [])\n        return [late.word.encode()]\n    return app\n";
    let site = Site::new()
        .python("home", "/", late)
        .file("late.py", "word = 'old'\n");
    let paster = reloading(site).serve();
    assert_eq!(paster.text("/"), "old");
    // Told within a second or so; then a change counts, even one from before.
    write(&paster, "late.py", "word = 'new'\n");
    wait_for_text(&paster, "/", "new");
}

#[test]
fn the_configuration_is_read_again_when_one_of_its_files_changes() {
    let mut paster =
        reloading(Site::new().actor("home", "/").option("home", "version = 1")).serve();
    paster.edit(|site| site.option("home", "version = 2"));
    paster.wait_for("version 2 serves", || {
        paster.get("/").json()["version"] == "2"
    });

    paster.expect_log("the configuration is invalid; nothing was changed");
    paster.expect_log("unknown setting `proceses`");
    paster.edit(|site| site.policy("home", "proceses = 2"));
    paster.wait_for_log("the configuration is invalid");
    assert_eq!(paster.get("/").json()["version"], "2");
    paster.edit(|site| site.option("home", "version = 3").without_policy("home"));
    paster.wait_for("version 3 serves", || {
        paster.get("/").json()["version"] == "3"
    });
}

#[test]
fn a_file_that_a_broken_configuration_names_is_watched() {
    let paster = reloading(Site::new().actor("home", "/")).serve();
    paster.expect_log("the configuration is invalid; nothing was changed");
    paster.allow_log("other.ini");
    let text = paster.site().text();
    write(&paster, "other.ini", "[app:main]\nnonsense\n");
    let with_other = text.replace("/ = home", "/ = home\n/other = config:other.ini");
    write(&paster, "site.ini", &with_other);
    paster.wait_for_log("the configuration is invalid");
    write(&paster, "other.ini", "[app:main]\nuse = actor:factory\n");
    paster.wait_for("the other app serves", || {
        paster.get("/other/").status == 200
    });
}

#[test]
fn the_file_that_a_filter_comes_from_is_watched() {
    let filter = |word: &str| format!("[filter:said]\nuse = call:words:factory\nword = {word}\n");
    let words = "def factory(global_conf, word):\n    def filter(app):\n        def filtered(environ, start_response):\n            \
                 app(environ, start_response)\n            return [word.encode()]\n        return filtered\n    return filter\n";
    let site = Site::new()
        .python("home", "/", &saying("'bare'", ""))
        .policy("home", "filters = config:other.ini#said")
        .file("other.ini", &filter("old"))
        .file("words.py", words);
    let paster = reloading(site).serve();
    assert_eq!(paster.text("/"), "old");
    write(&paster, "other.ini", &filter("new"));
    wait_for_text(&paster, "/", "new");
}

#[test]
fn the_setting_names_files_that_restart_an_app_without_reload() {
    let site = Site::new()
        .actor("home", "/")
        .actor("other", "/other")
        .policy("home", "watch = tmp/restart.txt templates/**/*.html")
        .file("templates/deep/a.html", "a");
    let paster = site.serve();
    let other = paster.status().app("other").pid();
    let next = |generation: u64| {
        paster.wait_until("the next generation serves", |s| {
            s.app("home").generation == generation && s.app("home").is_ready()
        });
    };
    fs::create_dir(paster.site().path("tmp")).expect("our own directory");
    write(&paster, "tmp/restart.txt", "");
    next(2);
    write(&paster, "templates/b.html", "b");
    next(3);
    fs::remove_file(paster.site().path("templates/deep/a.html")).expect("it is there");
    next(4);
    // Neither code nor what no pattern matches.
    let code = fs::read_to_string(paster.site().path("actor.py")).expect("readable");
    write(&paster, "actor.py", &format!("{code}\n"));
    write(&paster, "templates/c.txt", "no page");
    write(&paster, "templates/d.html", "d");
    next(5);
    assert_eq!(paster.status().app("other").pid(), other);
}

#[test]
fn a_stopped_app_and_one_that_sleeps_are_not_started_for_a_change() {
    let site = Site::new()
        .python("stopped", "/stopped", &saying("'old'", ""))
        .python("asleep", "/asleep", &saying("'old'", ""))
        .policy("asleep", "idle_timeout = 200ms")
        .python("other", "/", &saying("'old'", ""));
    let paster = reloading(site).serve_unready();
    paster.wait_until("they are up", |s| {
        s.app("stopped").is_ready() && s.app("other").is_ready()
    });
    assert_eq!(paster.text("/asleep"), "old");
    paster.command(&["stop", "stopped"]).succeeded();
    paster.wait_until("it sleeps", |s| s.app("asleep").state == "idle");
    for app in ["stopped", "asleep", "other"] {
        write(&paster, &format!("{app}.py"), &saying("'new'", ""));
    }
    wait_for_text(&paster, "/", "new");
    assert_eq!(paster.status().app("stopped").state, "stopped");
    assert_eq!(paster.status().app("asleep").state, "idle");
    assert_eq!(paster.text("/asleep"), "new");
}

#[test]
fn a_program_that_is_built_anew_is_restarted() {
    let site = Site::new().server("program", "/", "");
    let program = site.path("program.py");
    let text = fs::read_to_string(site.path("server.py")).expect("just written");
    let site = site
        .file("program.py", &format!("#!/usr/bin/env python3\n{text}"))
        .without("program")
        .exec("program", "/", "{here}/program.py");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, executable).expect("our own file");
    let paster = reloading(site).serve();
    let pid = paster.status().app("program").pid();
    let more = fs::read_to_string(&program).expect("readable") + "# more\n";
    fs::write(&program, more).expect("our own file");
    paster.wait_until("another one serves", |s| {
        s.app("program").is_ready() && s.app("program").pids() != [pid]
    });
}

#[test]
fn undivided_sites_are_watched_too() {
    let site = Site::new()
        .python("home", "/", &saying("'old'", ""))
        .python("other", "/other", &saying("'other'", ""))
        .undivided();
    let paster = reloading(site).serve();
    write(&paster, "home.py", &saying("'new'", ""));
    wait_for_text(&paster, "/", "new");
    assert_eq!(paster.text("/other"), "other");
}

#[test]
fn watching_goes_on_after_an_upgrade() {
    let paster = reloading(Site::new().python("home", "/", &saying("'old'", ""))).serve();
    paster.command(&["upgrade"]).succeeded();
    write(&paster, "home.py", &saying("'new'", ""));
    wait_for_text(&paster, "/", "new");
}
