use super::*;
use crate::plan::spec::Readiness;
use crate::plan::values::{show_cpus, show_paths, show_patterns, show_sendfile};
use crate::router::message::Sendfile;
use std::collections::BTreeMap;

fn read(name: &str, text: &str) -> Result<Draft, String> {
    read_value(name, text).map_err(|wrong| wrong.expected)
}

fn read_value(name: &str, text: &str) -> Result<Draft, Wrong> {
    let mut draft = Draft::default();
    (key(name).expect(name).set)(&mut draft, text, Path::new("/srv/site"))?;
    Ok(draft)
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_settings() {
    let settings = Settings::default();
    let view = View {
        settings: &settings,
        handover: Handover::Strip,
        access_log: &AccessLog::Off,
    };
    for key in all() {
        if let Some(shown) = (key.show)(&view) {
            assert_eq!(shown, key.default, "{}", key.name);
        }
    }
}

#[test]
fn a_default_that_can_be_written_reads_as_the_default() {
    for key in all().filter(|key| !key.default.starts_with('(')) {
        assert_eq!(
            read(key.name, key.default),
            Ok(Draft::default()),
            "{}",
            key.name
        );
    }
}

#[test]
fn an_access_log_is_a_place() {
    let target = |text| read("access_log", text).map(|draft| draft.access_log);
    for off in ["off", "false", "No", "0"] {
        assert_eq!(target(off), Ok(LogTarget::Off), "{off}");
    }
    assert_eq!(target("stdout"), Ok(LogTarget::Stdout));
    for nowhere in ["on", "yes", "1", "stderr", "syslog", "journald"] {
        assert!(target(nowhere).is_err(), "{nowhere}");
    }
    let file = LogTarget::File("/srv/site/stderr".into());
    assert_eq!(target("./stderr"), Ok(file));
}

#[test]
fn names_are_unique() {
    let names: std::collections::BTreeSet<&str> = all().map(|key| key.name).collect();
    assert_eq!(names.len(), all().count());
}

#[test]
fn readiness_over_http_needs_a_path() {
    assert_eq!(
        read("ready", "http:/up").map(|d| d.settings.ready),
        Ok(Readiness::Http("/up".to_owned()))
    );
    assert!(read("ready", "http:").is_err());
    assert!(read("ready", "http:up").is_err());
    assert!(read("ready", "http:/a b").is_err());
    assert!(read("ready", "soon").is_err());
}

#[test]
fn a_share_of_traces_is_kept_as_it_was_written() {
    for text in ["off", "on", "0", "0.1", "0.000001", "0.25"] {
        let mut settings = Settings::default();
        settings.traced = read("traceparent", text).expect(text).settings.traced;
        let view = View {
            settings: &settings,
            handover: Handover::Strip,
            access_log: &AccessLog::Off,
        };
        let row = key("traceparent").expect("a key");
        assert_eq!((row.show)(&view).as_deref(), Some(text));
    }
    assert_eq!(read("traceparent", "1"), read("traceparent", "on"));
    for text in ["", "1.1", "-1", "10%", "yes"] {
        assert!(read("traceparent", text).is_err(), "{text}");
    }
}

#[test]
fn environment_is_words_or_lines() {
    let expected = BTreeMap::from([
        ("A".to_owned(), "1".to_owned()),
        ("B".to_owned(), "x y".to_owned()),
    ]);
    for text in ["A=1 B=\"x y\"", "\nA=1\nB='x y'", "A=1\n\"B=x y\""] {
        assert_eq!(
            read("environment", text).map(|d| d.settings.environment),
            Ok(expected.clone()),
            "{text}"
        );
    }
    assert!(read("environment", "A=1 B").is_err());
    assert!(read("environment", "=1").is_err());
    assert!(read("environment", "A='1").is_err());
}

#[test]
fn paths_are_relative_to_the_file() {
    assert_eq!(
        read("directory", "var").map(|d| d.settings.directory),
        Ok(Some("/srv/site/var".into()))
    );
    assert_eq!(
        read("python", "env/bin/python").map(|d| d.python),
        Ok(Some("/srv/site/env/bin/python".into()))
    );
    assert_eq!(
        read("python", "python3.12").map(|d| d.python),
        Ok(Some("python3.12".into()))
    );
    assert!(read("directory", " ").is_err());
}

#[test]
fn limits_have_their_own_units() {
    assert_eq!(
        read("limit_as", "2G").map(|d| d.settings.limits["as"]),
        Ok(Some(2 << 30))
    );
    assert_eq!(
        read("limit_nofile", "unlimited").map(|d| d.settings.limits["nofile"]),
        Ok(None)
    );
    assert_eq!(
        read("limit_cpu", "5m").map(|d| d.settings.limits["cpu"]),
        Ok(Some(300))
    );
    assert_eq!(
        read("limit_cpu", "5").map(|d| d.settings.limits["cpu"]),
        Ok(Some(5))
    );
    assert!(read("limit_cpu", "500ms").is_err());
    assert!(read("limit_nofile", "0").is_err());
}

#[test]
fn cpus_are_numbers_or_per_cent() {
    let cpu = |text: &str| read("cgroup_cpu", text).map(|d| d.settings.wanted.limits.cpu);
    assert_eq!(cpu("50%"), Ok(Some(500)));
    assert_eq!(cpu("1.5"), Ok(Some(1500)));
    assert_eq!(cpu("2"), Ok(Some(2000)));
    assert_eq!(cpu("off"), Ok(None));
    for text in ["", "0", "0.001", "%", "-1", "5000", "1 CPU"] {
        assert!(cpu(text).is_err(), "{text}");
    }
    for shown in ["0.5", "1.5", "2", "0.01", "10"] {
        let thousandths = cpu(shown).expect(shown).expect(shown);
        assert_eq!(show_cpus(thousandths), shown);
    }
}

#[test]
fn directories_of_files_that_are_named() {
    let sendfile = |text: &str| read("sendfile", text).map(|d| d.settings.sendfile);
    let entry = |prefix: Option<&str>, directory: &str| Sendfile {
        prefix: prefix.map(str::to_owned),
        directory: directory.into(),
    };
    let expected = vec![
        entry(None, "/srv/private"),
        entry(Some("/in/"), "/srv/site/a b"),
    ];
    let text = "/srv/x/../private/ '/in/=a b'";
    assert_eq!(sendfile(text), Ok(expected.clone()));
    assert_eq!(sendfile(&show_sendfile(&expected)), Ok(expected));
    assert_eq!(sendfile("off"), Ok(vec![]));
    for text in ["", "in/=/srv", "/in/=", "'/srv"] {
        assert!(sendfile(text).is_err(), "{text}");
    }
}

#[test]
fn lists_of_paths_are_words_and_relative_to_the_file() {
    let hidden = |text: &str| read("hidden", text).map(|d| d.settings.wanted.hidden);
    let expected = vec!["/etc/keys".into(), "/srv/site/var lib".into()];
    assert_eq!(hidden("/etc/keys 'var lib'"), Ok(expected.clone()));
    assert_eq!(hidden("\n/etc/keys\n'var lib'"), Ok(expected.clone()));
    assert_eq!(show_paths(&expected), "/etc/keys '/srv/site/var lib'");
    assert_eq!(hidden("off"), Ok(vec![]));
    assert!(hidden("").is_err());
    assert!(hidden("'/etc").is_err());
}

#[test]
fn patterns_of_files_are_words_and_are_shown_as_they_are_read() {
    let watch = |text: &str| read("watch", text).map(|d| d.settings.watch);
    let shown = show_patterns(&watch("t/**/*.html 'a b.csv'").expect("two patterns"));
    assert_eq!(shown, "/srv/site/t/**/*.html '/srv/site/a b.csv'");
    assert_eq!(watch(&shown), watch("t/**/*.html 'a b.csv'"));
    assert!(watch("t/***").is_err());
    assert!(watch("'t").is_err());
}

#[test]
fn a_mask_is_octal() {
    assert_eq!(
        read("umask", "022").map(|d| d.settings.umask),
        Ok(Some(0o22))
    );
    assert!(read("umask", "1000").is_err());
    assert!(read("umask", "8").is_err());
}
