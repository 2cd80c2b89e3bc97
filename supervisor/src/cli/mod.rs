//! The command line: arguments as typed, output for people and for programs, exit codes.

mod args;
mod check;
mod crash_report;
mod crashes;
mod events;
mod exit;
mod follow;
mod logs;
mod maintenance;
mod member;
mod outcome;
mod output;
mod problems;
mod remote;
mod report;
mod resolve;
mod routes;
mod scale;
mod serve;
mod site;
mod stats;
mod status;
mod table;
mod top;
mod units;
mod upgrade;
mod wait;

use args::{Cli, Command};
use clap::Parser;
use exit::Exit;

/// Runs the program; returns its exit status.
pub fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let code = match cli.command {
        Command::Resolve(args) => resolve::run(&args),
        Command::Member => member::run(),
        Command::Serve(args) => serve::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Restart(args) => remote::restart(&args),
        Command::Reload(args) => remote::reload(&args),
        Command::Stop(args) => remote::stop(&args),
        Command::Start(args) => remote::start(&args),
        Command::Upgrade(args) => upgrade::run(&args),
        Command::Scale(args) => scale::run(&args),
        Command::Maintenance(args) => maintenance::run(&args),
        Command::Wait(args) => wait::run(&args),
        Command::Events(args) => events::run(&args),
        Command::Crashes(args) => crashes::run(&args),
        Command::Stats(args) => stats::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Logs(args) => logs::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Routes(args) => routes::run(&args),
    };
    match output::lost() {
        Some(error) => {
            output::message(&format!("error: cannot write the answer: {error}"));
            Exit::Failed.into()
        }
        None => code.into(),
    }
}
