//! What clients may send, and how long they may take.

use super::{Key, Scope};
use crate::plan::units::{number, size};
use crate::plan::values::{client_time, count, within};

macro_rules! time {
    ($name:literal, $field:ident, $default:literal, $about:literal) => {
        Key {
            name: $name,
            scope: Scope::Site,
            default: $default,
            about: $about,
            set: |draft, text, _| {
                draft.limits.$field = client_time(text)?;
                Ok(())
            },
            show: |_| None,
        }
    };
}

macro_rules! most {
    ($name:ident, $read:expr, $low:expr, $high:expr, $default:literal, $about:literal) => {
        Key {
            name: stringify!($name),
            scope: Scope::Site,
            default: $default,
            about: $about,
            set: |draft, text, _| {
                draft.limits.$name = within($read(text)?, $low, $high)?;
                Ok(())
            },
            show: |_| None,
        }
    };
}

pub(super) static KEYS: &[Key] = &[
    time!(
        "head_timeout",
        head_timeout_ms,
        "15s",
        "how long a client may take to send a request line and its fields; then 408"
    ),
    time!(
        "keep_alive_timeout",
        keep_alive_timeout_ms,
        "75s",
        "how long a connection may be idle between two requests"
    ),
    time!(
        "body_timeout",
        body_timeout_ms,
        "30s",
        "how long a client may send nothing of a request body; then 408"
    ),
    time!(
        "write_timeout",
        write_timeout_ms,
        "30s",
        "how long a client may take nothing of a response; then its connection is closed"
    ),
    most!(
        max_target,
        size,
        1024,
        60 * 1024,
        "16K",
        "bytes of a request target; a longer one gets 414"
    ),
    most!(
        max_head,
        size,
        8 * 1024,
        1024 * 1024,
        "64K",
        "bytes of a request line and its fields; more gets 431"
    ),
    most!(
        max_fields,
        count,
        10,
        1000,
        "100",
        "fields of a request; more gets 431"
    ),
    Key {
        name: "max_connections",
        scope: Scope::Site,
        default: "(by open files)",
        about: "client connections at a time; more wait in the kernel. At most half of the open files that the proxy may have",
        set: |draft, text, _| {
            draft.limits.max_connections = Some(number(text, 1, 1 << 20)?);
            Ok(())
        },
        show: |_| None,
    },
];
