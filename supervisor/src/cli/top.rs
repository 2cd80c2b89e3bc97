//! `paster top`: what apps and workers use, now. At a terminal it is shown until somebody leaves; else once.

mod figures;
mod screen;
mod view;

use super::args::TopArgs;
use super::exit::Exit;
use super::{check, outcome, output, remote};
use crate::control::client::ControlError;
use crate::control::protocol::{Answer, Command, Status};
use figures::{Figures, Meter};
use screen::{Keys, Pressed, Screen};
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Looks until the proxy has counted: it does about once a second.
const LOOKS: u32 = 3;

pub(crate) fn run(args: &TopArgs) -> Exit {
    let socket = remote::socket(&args.site);
    let stays = !args.json && !args.once && std::io::stdout().is_terminal();
    let result = remote::block_on(&socket, async {
        let mut meter = Meter::default();
        let first = meter.take(status(&socket).await?);
        match stays.then(Screen::open).transpose() {
            Ok(Some(screen)) => stay(&socket, meter, &first, screen).await,
            Ok(None) => {
                let figures = measure(&socket, meter, first).await?;
                let text = match args.json {
                    true => check::json(&figures),
                    false => view::render(&figures),
                };
                output::answer(&text);
                Ok(Exit::Ok)
            }
            Err(error) => {
                output::message(&format!("error: the terminal cannot be used: {error}"));
                output::message("hint: `--once` prints one table");
                Ok(Exit::Failed)
            }
        }
    });
    result.unwrap_or_else(|error| outcome::fail(&error, args.json))
}

async fn status(socket: &Path) -> Result<Status, ControlError> {
    match remote::ask(socket, &Command::Status).await? {
        Answer::Status(status) => Ok(*status),
        Answer::Refused { errors } => Err(ControlError::Refused(errors)),
        other => Err(ControlError::Strange(format!("{other:?}"))),
    }
}

async fn status_after(pause: Duration, socket: &Path) -> Result<Status, ControlError> {
    tokio::time::sleep(pause).await;
    status(socket).await
}

/// What is used within an interval.
async fn measure(socket: &Path, mut meter: Meter, first: Figures) -> Result<Figures, ControlError> {
    let mut figures = first;
    for _ in 0..LOOKS {
        figures = meter.take(status_after(INTERVAL, socket).await?);
        if figures.has_rates() {
            break;
        }
    }
    Ok(figures)
}

/// Shows it again and again, until somebody leaves or paster ends.
async fn stay(
    socket: &Path,
    mut meter: Meter,
    first: &Figures,
    mut screen: Screen,
) -> Result<Exit, ControlError> {
    let mut keys = Keys::new();
    let mut text = view::render(first);
    let mut next = Box::pin(status_after(INTERVAL, socket));
    loop {
        if screen.draw(&text).is_err() {
            return Ok(Exit::Ok);
        }
        tokio::select! {
            status = &mut next => {
                match status {
                    Ok(status) => text = view::render(&meter.take(status)),
                    // Perhaps another version is just taking over; who has ended does not run at the next look.
                    Err(ControlError::Lost) => {}
                    Err(ControlError::NotRunning(_)) => {
                        drop(screen);
                        output::message("paster has stopped");
                        return Ok(Exit::Ok);
                    }
                    Err(error) => return Err(error),
                }
                next.set(status_after(INTERVAL, socket));
            }
            pressed = keys.pressed() => match pressed {
                Pressed::Leave => return Ok(Exit::Ok),
                Pressed::Other => {}
            }
        }
    }
}
