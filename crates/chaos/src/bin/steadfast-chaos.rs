//! The runner of the scenarios and the processes that it starts of itself; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    steadfast_chaos::cli::main()
}
