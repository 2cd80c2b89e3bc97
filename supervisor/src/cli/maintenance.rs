//! `paster maintenance CONFIG APP on|off`.

use super::args::{MaintenanceArgs, Switch};
use super::exit::Exit;
use super::{output, remote};
use crate::control::protocol::Command;

pub(crate) fn run(args: &MaintenanceArgs) -> Exit {
    let on = args.state == Switch::On;
    if !on && args.message.is_some() {
        output::message("error: `--message` is for `on`: clients read it meanwhile");
        return Exit::Usage;
    }
    let command = Command::Maintenance {
        app: args.app.clone(),
        on,
        message: args.message.clone(),
    };
    remote::finish(remote::call(&args.site, &command), args.json)
}
