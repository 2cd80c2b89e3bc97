//! The terminal while something is shown on all of it, and the keys that are pressed meanwhile.

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyModifiers};
use crossterm::style::Print;
use crossterm::terminal::{self, Clear, ClearType};
use crossterm::{cursor, execute, queue};
use futures_util::StreamExt;
use std::io::{self, Write};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The alternate screen, without echo. Dropping it gives the terminal back as it was.
pub(super) struct Screen(());

impl Screen {
    /// # Errors
    /// No terminal, or one that is gone.
    pub(super) fn open() -> io::Result<Screen> {
        terminal::enable_raw_mode()?;
        let screen = Screen(());
        execute!(
            io::stdout(),
            terminal::EnterAlternateScreen,
            terminal::DisableLineWrap,
            cursor::Hide
        )?;
        Ok(screen)
    }

    /// Shows this text, as much of it as there is room for.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn draw(&mut self, text: &str) -> io::Result<()> {
        let (_, rows) = terminal::size()?;
        let mut out = io::stdout().lock();
        queue!(out, terminal::BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
        for (index, line) in fitting(text, rows).iter().enumerate() {
            if index > 0 {
                queue!(out, Print("\r\n"))?;
            }
            queue!(out, Print(line), Clear(ClearType::UntilNewLine))?;
        }
        queue!(
            out,
            Clear(ClearType::FromCursorDown),
            terminal::EndSynchronizedUpdate
        )?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(
            io::stdout(),
            cursor::Show,
            terminal::EnableLineWrap,
            terminal::LeaveAlternateScreen
        );
        let _ = terminal::disable_raw_mode();
    }
}

/// The lines that there is room for; the last one says how many are missing.
fn fitting(text: &str, rows: u16) -> Vec<String> {
    let rows = usize::from(rows).max(1);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.len() > rows {
        let missing = lines.len() - (rows - 1);
        lines.truncate(rows - 1);
        lines.push(format!("({missing} more lines; `--once` prints them all)"));
    }
    lines
}

/// What somebody at the terminal wants.
pub(super) enum Pressed {
    Leave,
    /// Nothing, or another size of the terminal.
    Other,
}

/// Keys and signals.
pub(super) struct Keys {
    events: EventStream,
    /// None where no handler can be installed: the default action is then what ends us.
    signals: [Option<Signal>; 2],
}

impl Keys {
    pub(super) fn new() -> Keys {
        let kinds = [SignalKind::terminate(), SignalKind::hangup()];
        Keys {
            events: EventStream::new(),
            signals: kinds.map(|kind| signal(kind).ok()),
        }
    }

    /// Nothing is lost if this is dropped before it is ready.
    pub(super) async fn pressed(&mut self) -> Pressed {
        let [terminate, hangup] = &mut self.signals;
        tokio::select! {
            event = self.events.next() => match event {
                Some(Ok(Event::Key(key))) if leaves(key) => Pressed::Leave,
                Some(Ok(_)) => Pressed::Other,
                Some(Err(_)) | None => Pressed::Leave,
            },
            () = sent(terminate) => Pressed::Leave,
            () = sent(hangup) => Pressed::Leave,
        }
    }
}

async fn sent(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

fn leaves(key: KeyEvent) -> bool {
    match key.code {
        KeyCode::Char('c' | 'd') => key.modifiers.contains(KeyModifiers::CONTROL),
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        assert_eq!(fitting("a\nb\nc", 3), ["a", "b", "c"]);
        let cut = fitting("a\nb\nc", 2);
        assert_eq!(cut, ["a", "(2 more lines; `--once` prints them all)"]);
        assert_eq!(fitting("a\nb", 0).len(), 1);
    }

    #[test]
    fn q_escape_and_control_c_leave() {
        let key = |code, modifiers| leaves(KeyEvent::new(code, modifiers));
        assert!(key(KeyCode::Char('q'), KeyModifiers::NONE));
        assert!(key(KeyCode::Esc, KeyModifiers::NONE));
        assert!(key(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!key(KeyCode::Char('c'), KeyModifiers::NONE));
    }
}
