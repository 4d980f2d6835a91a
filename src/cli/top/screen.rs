//! The terminal, taken over: its other screen, keys one by one, and everything as it was when it is let go, however that comes about.
//!
//! Holds: whoever leaves, by a key, an error or a panic, leaves the terminal as it was found ([`Drop`]).

use super::frame::Size;
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{
    self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use std::io::{self, BufWriter, Stdout, Write};
use std::time::Duration;

/// What somebody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// q, or Escape.
    Quit,
    /// Ctrl-C, which is a key like any other now.
    Interrupt,
    /// The terminal has another size.
    Resized,
}

/// The terminal while it is ours.
pub(super) struct Screen {
    out: BufWriter<Stdout>,
}

impl Screen {
    pub(super) fn enter() -> io::Result<Screen> {
        enable_raw_mode()?;
        // From here on the terminal is given back even if the next step fails.
        let mut screen = Screen {
            out: BufWriter::new(io::stdout()),
        };
        execute!(screen.out, EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }

    pub(super) fn size(&self) -> Size {
        let (width, height) = terminal::size().unwrap_or((80, 24));
        Size {
            width: usize::from(width),
            height: Some(usize::from(height)),
        }
    }

    /// Draws the lines over what is there, at once where the terminal can. Each line is cleared before it is written: after it, one that fills the
    /// width would lose its last character.
    pub(super) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        queue!(self.out, BeginSynchronizedUpdate)?;
        for (row, line) in lines.iter().enumerate() {
            let row = u16::try_from(row).unwrap_or(u16::MAX);
            queue!(
                self.out,
                cursor::MoveTo(0, row),
                Clear(ClearType::CurrentLine)
            )?;
            self.out.write_all(line.as_bytes())?;
        }
        let below = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        if usize::from(below) < self.size().height.unwrap_or(0) {
            queue!(
                self.out,
                cursor::MoveTo(0, below),
                Clear(ClearType::FromCursorDown)
            )?;
        }
        queue!(self.out, EndSynchronizedUpdate)?;
        self.out.flush()
    }

    /// What somebody did, if anything, within the time.
    pub(super) fn key(&mut self, timeout: Duration) -> io::Result<Option<Key>> {
        if !event::poll(timeout)? {
            return Ok(None);
        }
        Ok(meaning(&event::read()?))
    }
}

fn meaning(event: &Event) -> Option<Key> {
    let key = match event {
        Event::Resize(..) => return Some(Key::Resized),
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        _ => return None,
    };
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c') if control => Some(Key::Interrupt),
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Key::Quit),
        _ => None,
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(self.out, cursor::Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossterm::event::KeyEvent;

    #[test]
    fn q_escape_and_control_c_end_it_and_other_keys_do_nothing() {
        let press = |code, modifiers| meaning(&Event::Key(KeyEvent::new(code, modifiers)));
        let none = KeyModifiers::NONE;
        assert_eq!(press(KeyCode::Char('q'), none), Some(Key::Quit));
        assert_eq!(press(KeyCode::Esc, none), Some(Key::Quit));
        assert_eq!(press(KeyCode::Char('c'), none), None);
        let interrupt = press(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(interrupt, Some(Key::Interrupt));
        assert_eq!(meaning(&Event::Resize(80, 24)), Some(Key::Resized));
    }
}
