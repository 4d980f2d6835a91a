//! `tidewatch`: arguments in, exit code out. Everything else is in [`tidewatch::cli`].

fn main() -> std::process::ExitCode {
    tidewatch::cli::main()
}
