//! Which user and group the workers of an app run as.

use super::spec::User;
use nix::unistd::{self, Gid, Uid};
use std::ffi::CString;

/// What the decision needs to know about the machine.
pub trait Accounts {
    /// The user that paster runs as; 0 may become anybody.
    fn own(&self) -> User;
    /// The user of this name or number.
    fn user(&self, name: &str) -> Option<User>;
    /// The number of the group of this name or number.
    fn group(&self, name: &str) -> Option<u32>;
}

/// Why a setting cannot be as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The setting that is to blame.
    pub key: &'static str,
    pub message: String,
    pub hint: String,
}

/// Decides the identity; none means paster's own.
///
/// With `group` alone the user stays. The user's supplementary groups come along (`initgroups(3)`).
/// To ask for the identity that paster has already is allowed without privilege.
///
/// # Errors
/// An unknown user or group, and a change without privilege.
pub fn identity(
    user: Option<&str>,
    group: Option<&str>,
    accounts: &dyn Accounts,
) -> Result<Option<User>, Refusal> {
    if user.is_none() && group.is_none() {
        return Ok(None);
    }
    let own = accounts.own();
    let mut wanted = match user {
        None => own.clone(),
        Some(name) => accounts.user(name).ok_or_else(|| Refusal {
            key: "user",
            message: format!("there is no user `{name}`"),
            hint: "create it, or name one that `getent passwd` shows".to_owned(),
        })?,
    };
    if let Some(name) = group {
        wanted.gid = accounts.group(name).ok_or_else(|| Refusal {
            key: "group",
            message: format!("there is no group `{name}`"),
            hint: "create it, or name one that `getent group` shows".to_owned(),
        })?;
        if !wanted.groups.contains(&wanted.gid) {
            wanted.groups.push(wanted.gid);
        }
    }
    if own.uid == 0 {
        return Ok(Some(wanted));
    }
    if wanted.uid == own.uid && wanted.gid == own.gid {
        return Ok(None);
    }
    let (key, name) = if wanted.uid == own.uid {
        ("group", group)
    } else {
        ("user", user)
    };
    Err(Refusal {
        key,
        message: format!(
            "only root can run workers as {key} `{}`; paster runs as `{}`",
            name.unwrap_or("?"),
            own.name
        ),
        hint: format!("start paster as root, or remove `{key}`"),
    })
}

/// The user of the proxy, which has no privileges: `nobody` where paster is root, else paster's own (none).
pub fn of_proxy(accounts: &dyn Accounts) -> Option<u32> {
    const NOBODY: u32 = 65534;
    (accounts.own().uid == 0).then(|| accounts.user("nobody").map_or(NOBODY, |user| user.uid))
}

/// The accounts of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Accounts for System {
    fn own(&self) -> User {
        let (uid, gid) = (unistd::geteuid(), unistd::getegid());
        account(unistd::User::from_uid(uid))
            .map(|user| User {
                gid: gid.as_raw(),
                ..user
            })
            .unwrap_or_else(|| User {
                name: uid.to_string(),
                uid: uid.as_raw(),
                gid: gid.as_raw(),
                groups: vec![gid.as_raw()],
            })
    }

    fn user(&self, name: &str) -> Option<User> {
        if let Some(user) = account(unistd::User::from_name(name)) {
            return Some(user);
        }
        let uid = name.parse().ok().filter(|uid| *uid != u32::MAX)?;
        // A number without an account is a user all the same; its group is the one of the same number.
        account(unistd::User::from_uid(Uid::from_raw(uid))).or_else(|| {
            Some(User {
                name: name.to_owned(),
                uid,
                gid: uid,
                groups: vec![uid],
            })
        })
    }

    fn group(&self, name: &str) -> Option<u32> {
        match unistd::Group::from_name(name) {
            Ok(Some(group)) => Some(group.gid.as_raw()),
            _ => name.parse().ok().filter(|gid| *gid != u32::MAX),
        }
    }
}

/// The accounts of this machine for a paster that will be this user.
#[derive(Debug, Clone, Copy)]
pub struct Becoming<'a>(pub &'a User);

impl Accounts for Becoming<'_> {
    fn own(&self) -> User {
        self.0.clone()
    }

    fn user(&self, name: &str) -> Option<User> {
        System.user(name)
    }

    fn group(&self, name: &str) -> Option<u32> {
        System.group(name)
    }
}

fn account(found: nix::Result<Option<unistd::User>>) -> Option<User> {
    let user = found.ok().flatten()?;
    let own = vec![user.gid];
    let groups = CString::new(user.name.as_str())
        .ok()
        .and_then(|name| unistd::getgrouplist(&name, user.gid).ok())
        .unwrap_or(own);
    Some(User {
        name: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.into_iter().map(Gid::as_raw).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine {
        own: u32,
    }

    fn person(name: &str, uid: u32) -> User {
        User {
            name: name.to_owned(),
            uid,
            gid: uid,
            groups: vec![uid],
        }
    }

    impl Accounts for Machine {
        fn own(&self) -> User {
            person(if self.own == 0 { "root" } else { "me" }, self.own)
        }
        fn user(&self, name: &str) -> Option<User> {
            match name {
                "www" => Some(person("www", 33)),
                "me" => Some(person("me", 1000)),
                _ => None,
            }
        }
        fn group(&self, name: &str) -> Option<u32> {
            (name == "staff").then_some(50)
        }
    }

    #[test]
    fn root_may_become_anybody() {
        let wanted = identity(Some("www"), Some("staff"), &Machine { own: 0 });
        let expected = User {
            name: "www".to_owned(),
            uid: 33,
            gid: 50,
            groups: vec![33, 50],
        };
        assert_eq!(wanted, Ok(Some(expected)));
    }

    #[test]
    fn nobody_else_may() {
        let refusal =
            identity(Some("www"), None, &Machine { own: 1000 }).expect_err("no privilege");
        assert_eq!(refusal.key, "user");
        let refusal =
            identity(None, Some("staff"), &Machine { own: 1000 }).expect_err("no privilege");
        assert_eq!(refusal.key, "group");
    }

    #[test]
    fn to_be_oneself_needs_no_privilege() {
        assert_eq!(identity(Some("me"), None, &Machine { own: 1000 }), Ok(None));
    }

    #[test]
    fn unknown_names_are_refused() {
        assert_eq!(
            identity(Some("nobody-here"), None, &Machine { own: 0 })
                .expect_err("unknown")
                .key,
            "user"
        );
        assert_eq!(
            identity(None, Some("none"), &Machine { own: 0 })
                .expect_err("unknown")
                .key,
            "group"
        );
    }
}
