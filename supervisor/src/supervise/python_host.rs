//! The Python host, carried inside this program: nothing has to be installed beside an app.

/// What the bundle runs once its sources are known.
const BOOT: &str = include_str!("../../../worker-sdk/python/boot.py");

/// What `python -c` runs. All of it is seen in the process list, so it is short: it executes the [`bundle`] on
/// descriptor `fd`, under a name that tracebacks can show.
pub(super) fn command(fd: u32) -> String {
    format!(r#"exec(compile((host:=open({fd},"rb")).read(),"<paster>/boot.py","exec"))"#)
}

macro_rules! modules {
    ($($name:literal),* $(,)?) => {
        &[$((
            concat!("paster_worker/", $name),
            include_str!(concat!("../../../worker-sdk/python/src/paster_worker/", $name, ".py")),
        )),*]
    };
}

/// Module name and source.
const MODULES: &[(&str, &str)] = modules![
    "__init__",
    "__main__",
    "body",
    "composite",
    "connection",
    "contract",
    "errors",
    "files",
    "http",
    "lifecycle",
    "loader",
    "pool",
    "server",
    "stock",
    "template",
    "wsgi",
];

/// The program on the host's descriptor: the sources by module name (a JSON object of strings is a Python literal too),
/// then the boot code, whose line numbers stay what they are.
pub(super) fn bundle() -> Vec<u8> {
    let modules: serde_json::Map<String, serde_json::Value> = MODULES
        .iter()
        .map(|(name, source)| ((*name).to_owned(), (*source).into()))
        .collect();
    format!("sources = {}; {BOOT}", serde_json::Value::Object(modules)).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_of_the_package_is_carried() {
        let dir = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../worker-sdk/python/src/paster_worker"
        );
        let mut files: Vec<String> = std::fs::read_dir(dir)
            .expect("the package is in the repository")
            .flatten()
            .filter_map(|entry| {
                entry
                    .file_name()
                    .to_str()?
                    .strip_suffix(".py")
                    .map(|name| format!("paster_worker/{name}"))
            })
            .collect();
        files.sort();
        let mut carried: Vec<&str> = MODULES.iter().map(|(name, _)| *name).collect();
        carried.sort_unstable();
        assert_eq!(carried, files);
    }
}
