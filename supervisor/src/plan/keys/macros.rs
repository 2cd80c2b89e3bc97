//! Rows that many keys share.

macro_rules! app_duration {
    ($name:ident, $default:literal, $about:literal) => {
        $crate::plan::keys::Key {
            name: stringify!($name),
            scope: $crate::plan::keys::Scope::App,
            default: $default,
            about: $about,
            set: |draft, text, _| {
                draft.settings.$name = $crate::plan::units::duration(text)?;
                Ok(())
            },
            show: |view| Some($crate::plan::units::show_duration(view.settings.$name)),
        }
    };
}

macro_rules! app_optional {
    ($name:ident, $read:expr, $show:expr, $about:literal) => {
        $crate::plan::keys::Key {
            name: stringify!($name),
            scope: $crate::plan::keys::Scope::App,
            default: "off",
            about: $about,
            set: |draft, text, _| {
                draft.settings.$name = $read(text)?;
                Ok(())
            },
            show: |view| Some(view.settings.$name.map_or_else(|| "off".to_owned(), $show)),
        }
    };
}

macro_rules! app_number {
    ($name:ident, $low:expr, $high:expr, $default:literal, $about:literal) => {
        $crate::plan::keys::Key {
            name: stringify!($name),
            scope: $crate::plan::keys::Scope::App,
            default: $default,
            about: $about,
            set: |draft, text, _| {
                draft.settings.$name = $crate::plan::units::number(text, $low, $high)?;
                Ok(())
            },
            show: |view| Some(view.settings.$name.to_string()),
        }
    };
}

macro_rules! limit {
    ($name:literal, $read:expr, $show:expr, $about:literal) => {
        $crate::plan::keys::Key {
            name: concat!("limit_", $name),
            scope: $crate::plan::keys::Scope::App,
            default: "(inherited)",
            about: $about,
            set: |draft, text, _| {
                let limit = $crate::plan::values::read_limit(text, $read)?;
                draft.settings.limits.insert($name.to_owned(), limit);
                Ok(())
            },
            show: |view| $crate::plan::values::show_limit(view.settings.limits.get($name), $show),
        }
    };
}

macro_rules! app_switch {
    ($name:literal, $($field:ident).+, $default:literal, $about:literal) => {
        $crate::plan::keys::Key {
            name: $name,
            scope: $crate::plan::keys::Scope::App,
            default: $default,
            about: $about,
            set: |draft, text, _| {
                draft.settings.$($field).+ = $crate::plan::units::switch(text)?;
                Ok(())
            },
            show: |view| {
                let switched = if view.settings.$($field).+ { "on" } else { "off" };
                Some(switched.to_owned())
            },
        }
    };
}

/// A limit of the control group.
macro_rules! cgroup {
    ($name:literal, $field:ident, $read:expr, $show:expr, $about:literal) => {
        $crate::plan::keys::Key {
            name: concat!("cgroup_", $name),
            scope: $crate::plan::keys::Scope::App,
            default: "off",
            about: $about,
            set: |draft, text, _| {
                draft.settings.wanted.limits.$field = $read(text)?;
                Ok(())
            },
            show: |view| {
                let limit = view.settings.wanted.limits.$field;
                Some(limit.map_or_else(|| "off".to_owned(), $show))
            },
        }
    };
}

macro_rules! app_paths {
    ($name:ident, $about:literal) => {
        $crate::plan::keys::Key {
            name: stringify!($name),
            scope: $crate::plan::keys::Scope::App,
            default: "off",
            about: $about,
            set: |draft, text, here| {
                draft.settings.wanted.$name = $crate::plan::values::paths(text, here)?;
                Ok(())
            },
            show: |view| {
                Some($crate::plan::values::show_paths(
                    &view.settings.wanted.$name,
                ))
            },
        }
    };
}
