//! Which site a command is about: the configuration as typed, made absolute.

use super::args::ConfigArgs;
use crate::config::tree::Conf;
use crate::plan::build::PlanRequest;
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

/// The absolute path of the file behind CONFIG (lexical, as Paste Deploy has it); names the runtime directory.
pub(crate) fn config_path(config: &str) -> PathBuf {
    let path = config.strip_prefix("config:").unwrap_or(config);
    let path = path.split('#').next().unwrap_or(path);
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path))
}
