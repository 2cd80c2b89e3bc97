//! `paster scale CONFIG APP N`, or `APP=N …` for several.

use super::args::ScaleArgs;
use super::exit::Exit;
use super::{output, remote};
use crate::control::protocol::Command;
use std::collections::BTreeMap;

pub(crate) fn run(args: &ScaleArgs) -> Exit {
    match wanted(&args.wanted) {
        Ok(apps) => remote::finish(
            remote::call(&args.site, &Command::Scale { apps }),
            args.json,
        ),
        Err(error) => {
            output::message(&format!("error: {error}"));
            output::message(
                "hint: `paster scale CONFIG blog 3`, or `paster scale CONFIG blog=3 wiki=2`",
            );
            Exit::Usage
        }
    }
}

/// The number for each app.
fn wanted(words: &[String]) -> Result<BTreeMap<String, u32>, String> {
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|_| format!("`{text}` is no number of workers"))
    };
    if let [app, count] = words
        && !app.contains('=')
        && !count.contains('=')
    {
        return Ok(BTreeMap::from([(app.clone(), number(count)?)]));
    }
    let mut apps = BTreeMap::new();
    for word in words {
        // An app may have an equals sign in its name, a number has none.
        let (app, count) = word
            .rsplit_once('=')
            .ok_or_else(|| format!("`{word}` does not say how many workers"))?;
        if apps.insert(app.to_owned(), number(count)?).is_some() {
            return Err(format!("`{app}` is given twice"));
        }
    }
    Ok(apps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Vec<(String, u32)>, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Ok(wanted(&words)?.into_iter().collect())
    }

    #[test]
    fn one_app_or_several() {
        let blog = ("blog".to_owned(), 3);
        assert_eq!(read(&["blog", "3"]), Ok(vec![blog.clone()]));
        assert_eq!(read(&["blog=3"]), Ok(vec![blog.clone()]));
        assert_eq!(
            read(&["wiki=1", "blog=3"]),
            Ok(vec![blog, ("wiki".to_owned(), 1)])
        );
        assert_eq!(read(&["a=b=2"]), Ok(vec![("a=b".to_owned(), 2)]));
    }

    #[test]
    fn what_is_no_number_is_named() {
        assert!(read(&["blog"]).is_err_and(|error| error.contains("`blog`")));
        assert!(read(&["blog", "many"]).is_err_and(|error| error.contains("`many`")));
        assert!(read(&["blog", "-1"]).is_err_and(|error| error.contains("`-1`")));
        assert!(read(&["blog=1", "wiki"]).is_err_and(|error| error.contains("`wiki`")));
        assert!(read(&["blog=1", "blog=2"]).is_err_and(|error| error.contains("twice")));
    }
}
