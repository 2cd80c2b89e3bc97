//! `egg:Paste#static`: which of these apps the proxy serves itself, and why not the others.

use super::cut::children;
use super::identity::Accounts;
use super::keys;
use super::proxy_rights;
use super::settings::Policy;
use super::values::normal;
use crate::config::tree::{Node, Parts, STATIC_TARGET, Via};
use crate::router::message::StaticFiles;
use std::path::Path;

/// The app itself, without anything around it.
pub(super) fn is_one(node: &Node) -> bool {
    matches!(node.parts, Parts::Leaf) && names_it(node)
}

fn names_it(node: &Node) -> bool {
    let target = node.factory.as_ref().map(|factory| factory.target.as_str());
    target == Some(STATIC_TARGET)
}

/// The first part of a tree that needs Paste itself, although paster knows what `egg:Paste#static` means without it.
pub(super) fn first_for_python(node: &Node) -> Option<&Node> {
    let by_egg = node
        .factory
        .as_ref()
        .is_some_and(|factory| factory.via == Via::Egg);
    if names_it(node) && by_egg {
        return Some(node);
    }
    children(node).into_iter().find_map(first_for_python)
}

/// What the proxy is to serve in place of such an app. `start` is the directory that a relative `document_root` begins at.
///
/// # Errors
/// Why a worker has to do it, in words for people.
pub(super) fn for_the_proxy(
    node: &Node,
    policy: &Policy,
    start: &Path,
    accounts: &dyn Accounts,
) -> Result<StaticFiles, String> {
    if !policy.settings.native_static {
        return Err("`static = off`".to_owned());
    }
    if let Some(key) = policy.own.iter().find(|key| keys::is_about_processes(key)) {
        return Err(format!("`{key}` is about a process"));
    }
    let mut root = None;
    let mut cache_max_age = None;
    for (key, value) in &node.local_conf {
        match key.as_str() {
            "document_root" => root = Some(normal(&start.join(value))),
            "cache_max_age" => cache_max_age = Some(age(value)?),
            other => return Err(format!("the option `{other}` is not known")),
        }
    }
    let root = root.ok_or("there is no `document_root`")?;
    proxy_rights::may_search(&root, accounts)?;
    Ok(StaticFiles {
        root,
        // 0 is as none, there as here.
        cache_max_age: cache_max_age.filter(|seconds| *seconds > 0),
    })
}

/// Seconds; what Python's `int` takes besides digits is left to it.
fn age(value: &str) -> Result<u64, String> {
    let digits = value.trim();
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = plain.then(|| digits.parse::<u32>().ok()).flatten();
    seconds
        .map(u64::from)
        .ok_or_else(|| format!("`cache_max_age = {value}` is no plain number of seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::settings::Policy;
    use crate::plan::spec::Settings;
    use crate::plan::testing::{self, Own};
    use std::os::unix::fs::PermissionsExt;

    fn files(options: &[(&str, &str)]) -> Node {
        let mut node = testing::app("files");
        if let Some(factory) = &mut node.factory {
            factory.target = STATIC_TARGET.to_owned();
        }
        let options = options.iter();
        node.local_conf = options
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        node
    }

    fn policy(own: &[&str]) -> Policy {
        Policy {
            settings: Settings::default(),
            python: None,
            strip_prefix: true,
            places: Default::default(),
            pages: Default::default(),
            own_preload: None,
            own: own.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    fn planned(options: &[(&str, &str)], own: &[&str]) -> Result<StaticFiles, String> {
        let node = files(options);
        assert!(is_one(&node));
        for_the_proxy(&node, &policy(own), Path::new("/start"), &Own(1000))
    }

    #[test]
    fn the_options_of_the_original_are_understood() {
        let root = |options: &[(&str, &str)]| planned(options, &[]).map(|files| files.root);
        assert_eq!(
            root(&[("document_root", "/srv/x/../www/")]),
            Ok("/srv/www".into())
        );
        assert_eq!(root(&[("document_root", "www")]), Ok("/start/www".into()));
        let age = |age: &str| {
            let options = [("document_root", "/srv"), ("cache_max_age", age)];
            planned(&options, &[]).map(|files| files.cache_max_age)
        };
        assert_eq!(age("3600"), Ok(Some(3600)));
        assert_eq!(age("0"), Ok(None));
        assert!(age("-1").is_err() && age("1_000").is_err() && age("").is_err());
    }

    #[test]
    fn what_only_python_knows_is_left_to_it() {
        assert!(planned(&[], &[]).is_err());
        assert!(planned(&[("document_root", "/srv"), ("more", "1")], &[]).is_err());
    }

    #[test]
    fn settings_of_a_process_want_one() {
        let options = [("document_root", "/srv")];
        for key in ["user", "python", "hidden", "limit_nofile", "cgroup_memory"] {
            assert!(planned(&options, &[key]).is_err(), "{key}");
        }
        assert!(planned(&options, &["processes", "queue"]).is_ok());
    }

    #[test]
    fn a_directory_that_nobody_may_search_is_for_a_worker() {
        let dir = tempfile::tempdir().expect("a directory");
        let allow = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(dir.path(), mode).expect("our own directory");
        };
        let node = files(&[("document_root", &dir.path().to_string_lossy())]);
        let planned = |own| for_the_proxy(&node, &policy(&[]), Path::new("/"), &Own(own));
        allow(0o700);
        assert!(planned(1000).is_ok(), "the proxy is who paster is");
        assert!(planned(0).is_err());
        allow(0o711);
        assert!(planned(0).is_ok());
    }
}
