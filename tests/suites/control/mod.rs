//! Commands from many sides at once: each gets an answer, the answer is true, and nobody is told to come again later.

mod at_once;
mod idle;
mod peers;
mod scale;
mod wait;

use crate::harness::paster::CommandResult;
use serde_json::Value;

/// An app that takes as long to start as the file `boot` beside it says, in seconds.
const SLOW_STARTER: &str = r#"
import os, time
def factory(global_conf):
    path = os.path.join(os.path.dirname(__file__), "boot")
    print("waiting on purpose", flush=True)
    if os.path.exists(path):
        time.sleep(float(open(path).read()))
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "0")])
        return []
    return app
"#;

fn json(result: &CommandResult) -> Value {
    serde_json::from_str(&result.stdout).unwrap_or_else(|error| panic!("{error}: {result:#?}"))
}
