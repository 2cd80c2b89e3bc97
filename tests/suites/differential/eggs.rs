//! Distributions that consist of metadata only, so that `egg:` finds entry points without anything to import.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Distribution name to what it offers.
pub(crate) type Eggs = BTreeMap<String, Egg>;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Egg {
    #[serde(default)]
    layout: Layout,
    /// The text of `entry_points.txt`, or group to name to value; none: the file is missing.
    #[serde(default)]
    entry_points: Option<EntryPoints>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Layout {
    /// As pip installs.
    #[default]
    DistInfo,
    /// As `setup.py develop` and system packages have it.
    EggInfo,
    /// A directory on the search path of its own, as easy_install made them.
    Egg,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum EntryPoints {
    Text(String),
    Groups(BTreeMap<String, BTreeMap<String, String>>),
}

/// Writes the distributions below `directory`; returns the directories for the search path.
pub(crate) fn write(directory: &Path, eggs: &Eggs) -> Vec<PathBuf> {
    let mut path = vec![directory.to_owned()];
    for (name, egg) in eggs {
        let file_name = name.replace('-', "_");
        let (metadata, file) = match egg.layout {
            Layout::DistInfo => (
                directory.join(format!("{file_name}-1.0.dist-info")),
                "METADATA",
            ),
            Layout::EggInfo => (directory.join(format!("{file_name}.egg-info")), "PKG-INFO"),
            Layout::Egg => {
                let egg = directory.join(format!("{file_name}-1.0-py3.egg"));
                path.push(egg.clone());
                (egg.join("EGG-INFO"), "PKG-INFO")
            }
        };
        fs::create_dir_all(&metadata).expect("create a distribution's metadata");
        fs::write(
            metadata.join(file),
            format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"),
        )
        .expect("write the metadata");
        if let Some(text) = egg.entry_points.as_ref().map(text) {
            fs::write(metadata.join("entry_points.txt"), text).expect("write the entry points");
        }
    }
    path
}

fn text(entry_points: &EntryPoints) -> String {
    match entry_points {
        EntryPoints::Text(text) => text.clone(),
        EntryPoints::Groups(groups) => groups
            .iter()
            .map(|(group, points)| {
                let points: String = points
                    .iter()
                    .map(|(name, value)| format!("{name} = {value}\n"))
                    .collect();
                format!("[{group}]\n{points}\n")
            })
            .collect(),
    }
}
