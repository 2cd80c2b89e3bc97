//! Which site a command is about: the configuration as typed, made absolute.

use super::args::ConfigArgs;
use crate::config::tree::Conf;
use crate::plan::build::PlanRequest;
use crate::plan::values;
use std::path::PathBuf;

/// What planning needs, from the arguments.
pub(crate) fn request(args: &ConfigArgs, isolate: bool) -> Result<PlanRequest, String> {
    let mut global_conf = Conf::new();
    for var in &args.vars {
        let (key, value) = var
            .split_once('=')
            .ok_or_else(|| format!("`{var}` is no variable assignment: KEY=VALUE is expected"))?;
        global_conf.insert(key.to_owned(), value.to_owned());
    }
    Ok(PlanRequest {
        config: args.config.clone(),
        app_name: args.app_name.clone(),
        server_name: args.server_name.clone(),
        server: None,
        global_conf,
        isolate,
        identity: None,
        passed: Vec::new(),
        relative_to: std::env::current_dir()
            .map_err(|error| format!("no current directory: {error}"))?,
    })
}

/// The absolute path of the file behind CONFIG, without `..` (lexical, as Paste Deploy has it); names the runtime directory, so it must
/// be the same however the path is written.
pub(crate) fn config_path(config: &str) -> PathBuf {
    let path = config.strip_prefix("config:").unwrap_or(config);
    let path = path.split('#').next().unwrap_or(path);
    let absolute = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    values::normal(&absolute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_path_however_it_is_written() {
        let path = config_path("/srv/site/site.ini");
        assert_eq!(path, PathBuf::from("/srv/site/site.ini"));
        for other in [
            "/srv/site/tools/../site.ini",
            "/srv/./other/../site//site.ini#api",
            "config:/../srv/site/site.ini",
        ] {
            assert_eq!(config_path(other), path, "{other}");
        }
        let here = config_path("site.ini");
        assert_eq!(config_path("./tools/../site.ini"), here);
    }
}
