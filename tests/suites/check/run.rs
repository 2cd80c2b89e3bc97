//! Runs the program on a copy of a fixture and compares what it says.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What a run left behind; the directory is written as `DIR`.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/check")
}

/// Runs paster beside a copy of `NAME.ini` that is called `site.ini`, in an environment where Paste and PasteDeploy seem to be
/// installed and an empty virtualenv is active.
pub(crate) fn paster(name: &str, args: &[&str]) -> Run {
    paster_to(Stdio::piped(), name, args)
}

/// As [`paster`], with this as its standard output.
pub(crate) fn paster_to(stdout: Stdio, name: &str, args: &[&str]) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    std::fs::copy(
        fixtures().join(format!("{name}.ini")),
        root.join("site.ini"),
    )
    .unwrap();
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("env/pyvenv.cfg", "");
    write("env/bin/python", "");
    write("bin/prog", "");
    for distribution in ["Paste-3.10.1", "PasteDeploy-3.1.0"] {
        let entry_points =
            std::fs::read_to_string(fixtures().join(format!("{distribution}.txt"))).unwrap();
        write(
            &format!("lib/{distribution}.dist-info/entry_points.txt"),
            &entry_points,
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_paster"))
        .args(args)
        .current_dir(&root)
        .env("VIRTUAL_ENV", root.join("env"))
        .env("PYTHONPATH", root.join("lib"))
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(Child::wait_with_output)
        .unwrap();
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&*root.to_string_lossy(), "DIR");
    Run {
        status: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// Compares a run with its expected output.
#[track_caller]
pub(crate) fn snapshot(name: &str, args: &[&str]) {
    let run = paster(name, args);
    let actual = format!(
        "$ paster {}\nstatus {}\n\n----- stdout\n{}\n----- stderr\n{}",
        args.join(" "),
        run.status,
        run.stdout,
        run.stderr
    );
    let kind = if args.len() > 2 { "urls" } else { args[0] };
    let file = fixtures().join(format!("{name}.{kind}.txt"));
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&file, &actual).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        actual == expected,
        "{} differs; now it is:\n{actual}",
        file.display()
    );
}
