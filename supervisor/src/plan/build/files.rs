//! Apps that are files, and files that apps name: may the proxy read them, and are they there?

use super::Builder;
use crate::config::problem::Problem;
use crate::config::tree::Node;
use crate::plan::proxy_rights;
use crate::plan::settings::Policy;
use crate::plan::spec::Cut;
use crate::plan::static_files;
use crate::router::message::{Sendfile, StaticFiles};
use std::path::Path;

impl Builder<'_> {
    /// The files that the proxy serves in place of this app, if it may. Either way `cuts` says so.
    pub(super) fn files(
        &mut self,
        app: &str,
        node: &Node,
        policy: &Policy,
        cuts: &mut [Cut],
    ) -> Option<StaticFiles> {
        let start = policy.settings.directory.as_ref();
        let start = start.unwrap_or(&self.request.relative_to);
        let files = static_files::for_the_proxy(node, policy, start, self.accounts);
        let why = match &files {
            Ok(_) => "static files: the proxy serves them itself".to_owned(),
            Err(why) => format!("static files, but for a worker: {why}"),
        };
        let own = |cut: &&mut Cut| cut.app.as_deref() == Some(app);
        cuts.iter_mut()
            .filter(own)
            .for_each(|cut| cut.why.clone_from(&why));
        if let Ok(StaticFiles { root, .. }) = &files
            && !root.is_dir()
        {
            let message = format!(
                "there is no directory {}, which app `{app}` serves",
                root.display()
            );
            let line = node.origin.line;
            let warning = Problem::new("Warning", message).at(&node.origin.file, line);
            let hint =
                "make it, or correct `document_root`; until then there is nothing to be found";
            self.warnings.push(warning.hint(hint));
        }
        files.ok()
    }

    /// Only the proxy serves files without Paste.
    pub(super) fn look_for_paste(&mut self, node: &Node, policy: &Policy, here: &Path) {
        let Some(files) = static_files::first_for_python(node) else {
            return;
        };
        let python = policy
            .python
            .as_ref()
            .map(|python| python.to_string_lossy());
        let path = self.environments.search_path(python.as_deref(), here);
        if let Err(problem) = path.has("Paste") {
            let place = (&files.origin.file, files.origin.factory_line);
            self.problems.push(problem.at(place.0, place.1));
        }
    }

    /// Warns of directories whose files cannot be sent; they may still be made or opened before the start.
    pub(super) fn look_at_sendfile(&mut self, app: &str, policy: &Policy) {
        for Sendfile { directory, .. } in &policy.settings.sendfile {
            let told = match proxy_rights::may_search(directory, self.accounts) {
                _ if !directory.is_dir() => Some((
                    format!(
                        "there is no directory {}, which `sendfile` of app `{app}` names",
                        directory.display()
                    ),
                    "make it, or correct `sendfile`",
                )),
                Ok(()) => None,
                Err(why) => Some((
                    format!("files that app `{app}` names cannot be sent: {why}"),
                    "let others search it, and read what is in it",
                )),
            };
            if let Some((message, hint)) = told {
                self.warn_at(policy.places.get("sendfile"), message, hint);
            }
        }
    }
}
