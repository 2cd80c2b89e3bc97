//! Apps of `egg:Paste#static`, which the proxy serves itself: as the original does, and better where docs/proxy.md says so.

mod answers;
mod large;
mod places;

use crate::harness::{Paster, Site};
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// The original's factory; it need not be installed for the proxy to do its work.
const FACTORY: &str = "egg:Paste#static";

const DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";

const TAG: &str = "\"1700000000.25-10\"";

/// Files at `/files`, all of the same age.
fn files() -> Site {
    aged(
        Site::new()
            .file("public/index.html", "<p>index</p>")
            .file("public/ten.txt", "0123456789")
            .file("public/empty.txt", "")
            .file("public/sub/index.html", "<p>sub</p>")
            .file("public/bare/page.txt", "a page")
            .section("files", "/files", FACTORY)
            .option("files", "document_root = %(here)s/public"),
    )
}

fn aged(site: Site) -> Site {
    let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
    let age = |path: &Path| {
        let file = File::options()
            .write(true)
            .open(path)
            .expect("our own file");
        file.set_modified(time).expect("our own file");
    };
    for entry in walk(&site.path("public")) {
        age(&entry);
    }
    site
}

fn walk(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)
        .expect("our own directory")
        .flatten()
    {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(walk(&path)),
            false => found.push(path),
        }
    }
    found
}

/// What `paster check` says.
fn check(paster: &Paster) -> String {
    let config = paster.site().config().display().to_string();
    Paster::run(paster.site(), &["check", &config])
        .succeeded()
        .stdout
}

const SAME_INI: &str = "
[composite:main]
use = egg:Paste#urlmap
/files = files
/aged = aged

[app:files]
use = egg:Paste#static
document_root = %(here)s/public

[app:aged]
use = egg:Paste#static
document_root = %(here)s/public
cache_max_age = 3600
";
