//! Metadata of installed Python distributions, found as `importlib.metadata` finds them but without
//! starting Python.

use super::problem::Problem;
use super::text::{split_lines, strip};
use std::fs;
use std::path::{Path, PathBuf};

/// A distribution: its name and entry points.
#[derive(Debug, Clone)]
pub struct Distribution {
    name: String,
    entry_points: EntryPoints,
}

#[derive(Debug, Clone)]
enum EntryPoints {
    /// Text of `entry_points.txt`, empty where there is none.
    Text(String),
    /// It cannot be read as UTF-8.
    Undecodable(PathBuf),
    /// (group, name, value), for distributions that need not be installed.
    Known(&'static [(&'static str, &'static str, &'static str)]),
}

impl Distribution {
    /// A distribution with fixed entry points: (group, name, value).
    pub(crate) fn known(
        name: &str,
        entry_points: &'static [(&'static str, &'static str, &'static str)],
    ) -> Distribution {
        Distribution {
            name: name.to_owned(),
            entry_points: EntryPoints::Known(entry_points),
        }
    }

    fn read(directory: &Path, fallback: &str) -> Distribution {
        let file = directory.join("entry_points.txt");
        let entry_points = match fs::read(&file) {
            Ok(bytes) => {
                String::from_utf8(bytes).map_or(EntryPoints::Undecodable(file), EntryPoints::Text)
            }
            Err(_) => EntryPoints::Text(String::new()),
        };
        Distribution {
            name: metadata_name(directory).unwrap_or_else(|| fallback.to_owned()),
            entry_points,
        }
    }

    /// The name as the distribution spells it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of the entry point `name` in `group`. An `entry_points.txt` that Python could not
    /// read is a problem of Python's class.
    pub fn entry_point(&self, group: &str, name: &str) -> Result<Option<String>, Problem> {
        let all = self.all()?;
        Ok(all
            .into_iter()
            .find(|entry| entry.0 == group && entry.1 == name)
            .map(|entry| entry.2))
    }

    /// Names of the entry points in `groups`.
    pub(crate) fn names(&self, groups: &[&str]) -> Vec<String> {
        let all = self.all().unwrap_or_default();
        all.into_iter()
            .filter(|entry| groups.contains(&entry.0.as_str()))
            .map(|entry| entry.1)
            .collect()
    }

    fn all(&self) -> Result<Vec<(String, String, String)>, Problem> {
        match &self.entry_points {
            EntryPoints::Text(text) => entry_points(text).map_err(|line| {
                let message = format!(
                    "entry_points.txt of `{}` has a line without `=`: `{line}`",
                    self.name
                );
                Problem::new("TypeError", message).hint("install the distribution again")
            }),
            EntryPoints::Undecodable(file) => Err(Problem::new(
                "UnicodeDecodeError",
                format!("{} is not UTF-8", file.display()),
            )),
            EntryPoints::Known(known) => Ok(known
                .iter()
                .map(|(group, name, value)| {
                    ((*group).to_owned(), (*name).to_owned(), (*value).to_owned())
                })
                .collect()),
        }
    }
}

/// Finds a distribution in a search path; the first directory that has it wins.
pub fn find(search_path: &[PathBuf], name: &str) -> Option<Distribution> {
    let normalized = normalize(name);
    search_path
        .iter()
        .find_map(|directory| find_in(directory, name, &normalized))
}

fn find_in(directory: &Path, name: &str, normalized: &str) -> Option<Distribution> {
    let here = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let base = directory
        .file_name()
        .map(|base| base.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let mut egg = None;
    for entry in fs::read_dir(here).ok()?.flatten() {
        let Ok(child) = entry.file_name().into_string() else {
            continue;
        };
        let low = child.to_lowercase();
        let stem = low
            .strip_suffix(".dist-info")
            .or_else(|| low.strip_suffix(".egg-info"));
        if let Some(stem) = stem {
            if normalize(stem.split('-').next().unwrap_or_default()) == normalized {
                let shown = child.split('-').next().unwrap_or_default();
                return Some(Distribution::read(&entry.path(), shown));
            }
        } else if low == "egg-info" && base.ends_with(".egg") {
            let stem = &base[..base.len() - ".egg".len()];
            let own = stem.split('-').next().unwrap_or_default();
            if own.replace('-', "_") == name.to_lowercase().replace('-', "_") {
                egg = Some(Distribution::read(&entry.path(), own));
            }
        }
    }
    egg
}

/// Lower case, with runs of `-`, `_` and `.` as one `_`.
pub(crate) fn normalize(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if !matches!(c, '-' | '_' | '.') {
            out.extend(c.to_lowercase());
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    out
}

/// The `Name` field of the metadata.
fn metadata_name(directory: &Path) -> Option<String> {
    let text = fs::read(directory.join("METADATA"))
        .or_else(|_| fs::read(directory.join("PKG-INFO")))
        .or_else(|_| fs::read(directory))
        .ok()?;
    let text = String::from_utf8_lossy(&text);
    let header = text.lines().take_while(|line| !line.is_empty());
    header
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case("name"))
        .map(|(_, value)| value.trim().to_owned())
}

/// (group, name, value) of each entry point; the error is a line that is none.
fn entry_points(text: &str) -> Result<Vec<(String, String, String)>, String> {
    let mut group: Option<&str> = None;
    let mut entries = Vec::new();
    for line in split_lines(text)
        .map(strip)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if line.starts_with('[') && line.ends_with(']') {
            group = Some(line.trim_matches(['[', ']']));
        } else if let Some(group) = group {
            let (name, value) = line.split_once('=').ok_or_else(|| line.to_owned())?;
            entries.push((
                group.to_owned(),
                strip(name).to_owned(),
                strip(value).to_owned(),
            ));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str, text: &str) {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        fs::write(path, text).expect("written");
    }

    #[test]
    fn distributions_are_found_by_any_spelling_of_their_name() {
        let dir = tempfile::tempdir().expect("a directory");
        write(
            dir.path(),
            "Shop_Extras-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: Shop.Extras\n\nName: no\n",
        );
        write(
            dir.path(),
            "Shop_Extras-1.0.dist-info/entry_points.txt",
            "# x\n[paste.app_factory]\nmain = shop : make [x]\n",
        );
        let path = [dir.path().to_owned()];
        for name in ["shop.extras", "Shop-Extras", "SHOP__EXTRAS"] {
            let found = find(&path, name).expect(name);
            assert_eq!(found.name(), "Shop.Extras");
            assert_eq!(
                found.entry_point("paste.app_factory", "main"),
                Ok(Some("shop : make [x]".to_owned()))
            );
            assert_eq!(found.entry_point("paste.app_factory", "Main"), Ok(None));
        }
        assert!(find(&path, "Shop").is_none());
        assert!(find(&path, "shop.extras ").is_none());
    }

    #[test]
    fn old_layouts_are_found_too() {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path(), "Old.egg-info/PKG-INFO", "Name: Old\n");
        write(
            dir.path(),
            "Egg-2.0-py3.egg/EGG-INFO/entry_points.txt",
            "[g]\na = b\n",
        );
        write(dir.path(), "Flat-1.0-py3.egg-info", "Name: flat\n");
        let path = [dir.path().to_owned(), dir.path().join("Egg-2.0-py3.egg")];
        assert_eq!(find(&path, "old").expect("Old").name(), "Old");
        assert_eq!(
            find(&path, "egg").expect("Egg").entry_point("g", "a"),
            Ok(Some("b".to_owned()))
        );
        assert_eq!(find(&path, "Flat").expect("Flat").name(), "flat");
    }

    #[test]
    fn an_entry_point_line_without_value_is_a_type_error() {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path(), "X.egg-info/entry_points.txt", "[g]\nbroken\n");
        let found = find(&[dir.path().to_owned()], "x").expect("X");
        assert_eq!(
            found.entry_point("g", "a").expect_err("broken").class,
            "TypeError"
        );
    }
}
