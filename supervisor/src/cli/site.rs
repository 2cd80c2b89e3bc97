//! Which site a command is about: the configuration as typed, made absolute.

use super::args::ConfigArgs;
use crate::config::tree::Conf;
use crate::plan::build::PlanRequest;
use crate::plan::values;
use std::path::PathBuf;

/// What `paster check` and `serve` make of the arguments: isolating.
///
/// # Errors
/// A variable has no `=`, or there is no current directory.
pub(crate) fn request(args: &ConfigArgs) -> Result<PlanRequest, String> {
    let mut request = PlanRequest::new(&args.config)?;
    request.global_conf = variables(&args.vars)?;
    request.app_name.clone_from(&args.app_name);
    request.server_name.clone_from(&args.server_name);
    Ok(request)
}

/// Splits `KEY=VALUE` arguments at the first `=`; later ones win.
///
/// # Errors
/// One that has none.
pub(crate) fn variables(items: &[String]) -> Result<Conf, String> {
    let mut conf = Conf::new();
    for item in items {
        let (name, value) = item
            .split_once('=')
            .ok_or_else(|| format!("`{item}` is no variable\nhint: write it as KEY=VALUE"))?;
        conf.insert(name.to_owned(), value.to_owned());
    }
    Ok(conf)
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
    fn variables_split_at_the_first_equals_sign() {
        let conf =
            variables(&["a=b=c".to_owned(), "d=".to_owned(), "a=x".to_owned()]).expect("variables");
        assert_eq!(
            conf.into_iter().collect::<Vec<_>>(),
            [("a".into(), "x".into()), ("d".into(), String::new())]
        );
        assert!(variables(&["start".to_owned()]).is_err());
    }

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
