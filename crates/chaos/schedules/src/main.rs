//! Explores schedules: runs one scenario under shuttle so many times, each time with other choices of which thread or
//! future goes on, and prints what it met as one line of JSON. Built under `--cfg steadfast_shuttle` by the campaign
//! `schedules` of `cargo xtask prove`; built otherwise it only says so.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it has to say is what it prints")]

#[cfg(steadfast_shuttle)]
mod arguments;
#[cfg(steadfast_shuttle)]
mod books;
#[cfg(steadfast_shuttle)]
mod bugs;
#[cfg(steadfast_shuttle)]
mod clock;
#[cfg(steadfast_shuttle)]
mod core;
#[cfg(steadfast_shuttle)]
mod met;
#[cfg(steadfast_shuttle)]
mod run;
#[cfg(steadfast_shuttle)]
mod scenarios;
#[cfg(steadfast_shuttle)]
mod sql;
#[cfg(steadfast_shuttle)]
mod traced;
#[cfg(steadfast_shuttle)]
mod world;

use std::process::ExitCode;

#[cfg(steadfast_shuttle)]
fn main() -> ExitCode {
    run::main()
}

#[cfg(not(steadfast_shuttle))]
fn main() -> ExitCode {
    eprintln!("this program explores nothing unless it is built by `cargo xtask prove schedules`");
    ExitCode::from(2)
}
