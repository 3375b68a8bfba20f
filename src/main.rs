//! The coursevault binary: hands its arguments to the command line and leaves with the code that comes back.

use std::process::ExitCode;

fn main() -> ExitCode {
    coursevault::cli::main(std::env::args_os())
}
