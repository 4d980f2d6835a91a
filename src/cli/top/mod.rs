//! `tidewatch top`: jobs, lag, watermark, memory and hottest entities of one or several instances, refreshed in place.
//!
//! ```text
//! /healthz, /metrics of each instance ──► Sampler (a thread) ──► View (jobs of all instances together) ──► frame ──► terminal
//! ```
//!
//! Speaks HTTP only: needs no broker and no configuration. Rates are differences of counters between two looks. Checked by: the tests of [`mod@frame`],
//! [`view`] and [`look`], and tests/kafka/terminal.rs on a running service.

mod ask;
mod frame;
mod look;
mod screen;
mod view;

use super::interrupt::{self, Interrupt};
use super::table::Style;
use super::{Color, output};
use anyhow::Context;
use ask::{Asker, Login};
use frame::{Size, frame};
use look::Look;
use screen::{Key, Screen};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;
use view::View;

/// What `--help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidewatch top                                                       the service on this machine
  tidewatch top --url http://pod-0:9600 --url http://pod-1:9600       all instances of a group together
  tidewatch top --url https://tidewatch:9600 --ca-file ca.crt --bearer-token-file token
  tidewatch top --once                                                one frame, for scripts and files

A job is worked by all instances of its group: name each of them, or what is shown is a part. q ends.";

/// Between two checks of whether somebody asks to end.
const STEP: Duration = Duration::from_millis(100);

/// Arguments of `tidewatch top`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An instance: where its `http.bind` is reached. Once for each.
    #[arg(
        long = "url",
        env = "TIDEWATCH_URL",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:9600"
    )]
    urls: Vec<String>,
    /// Print one frame and end. It takes an interval, because rates are of two looks.
    #[arg(long)]
    once: bool,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = interval)]
    interval: Duration,
    #[command(flatten)]
    login: Login,
}

fn interval(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok();
    let seconds = seconds.filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected a number of seconds from 0.1 to 3600".to_owned())
}

/// Looks again and again, until somebody says that it is enough.
pub fn run(args: &Args, color: Color) -> anyhow::Result<ExitCode> {
    let asker = Asker::new(&args.urls, &args.login, args.interval)?;
    let interrupt = Interrupt::listen()?;
    if args.once {
        return once(args, &asker, &interrupt, color);
    }
    anyhow::ensure!(
        io::stdout().is_terminal(),
        "standard output is no terminal; `--once` prints one frame"
    );
    let (stop, stopped) = channel();
    let (views, seen) = channel();
    let interval = args.interval;
    thread::Builder::new()
        .name("sampler".to_owned())
        .spawn(move || sample(&asker, interval, &views, &stopped))
        .context("cannot start a thread")?;
    let ending = watch(&seen, &interrupt, color);
    // A look that is under way is not waited for: the process ends.
    let _ = stop.send(());
    ending
}

/// One frame; its exit code says whether anybody answered.
fn once(
    args: &Args,
    asker: &Asker,
    interrupt: &Interrupt,
    color: Color,
) -> anyhow::Result<ExitCode> {
    let before = asker.look();
    let mut left = args.interval;
    while !left.is_zero() && !interrupt.asked() {
        let step = left.min(STEP);
        thread::sleep(step);
        left -= step;
    }
    let view = View::of(&asker.look(), &before);
    let size = Size {
        width: output::width(),
        height: None,
    };
    let mut out = io::stdout().lock();
    for line in frame(&view, size, style(color)) {
        writeln!(out, "{line}")?;
    }
    anyhow::ensure!(view.is_answered(), "no instance has answered");
    Ok(match interrupt.asked() {
        true => ExitCode::from(interrupt::EXIT_CODE),
        false => ExitCode::SUCCESS,
    })
}

/// Looks, and tells what it sees, until nobody listens or somebody says stop.
fn sample(asker: &Asker, interval: Duration, views: &Sender<View>, stopped: &Receiver<()>) {
    let mut before: Vec<Look> = Vec::new();
    loop {
        let looks = asker.look();
        if views.send(View::of(&looks, &before)).is_err() {
            return;
        }
        before = looks;
        match stopped.recv_timeout(interval) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Shows what is seen, until a key or a signal ends it.
fn watch(seen: &Receiver<View>, interrupt: &Interrupt, color: Color) -> anyhow::Result<ExitCode> {
    let mut screen = Screen::enter().context("the terminal cannot be taken over")?;
    let style = style(color);
    let mut view = View::default();
    screen.draw(&frame(&view, screen.size(), style))?;
    loop {
        let mut is_new = false;
        while let Ok(newer) = seen.try_recv() {
            (view, is_new) = (newer, true);
        }
        match screen.key(STEP)? {
            Some(Key::Quit) => return Ok(ExitCode::SUCCESS),
            Some(Key::Interrupt) => return Ok(ExitCode::from(interrupt::EXIT_CODE)),
            Some(Key::Resized) => is_new = true,
            None => {}
        }
        if interrupt.asked() {
            return Ok(ExitCode::from(interrupt::EXIT_CODE));
        }
        if is_new {
            screen.draw(&frame(&view, screen.size(), style))?;
        }
    }
}

fn style(color: Color) -> Style {
    Style {
        width: output::width(),
        color: color.on_stdout(),
        top: usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_some_seconds() {
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "NaN", "inf", "2s", "4000"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
