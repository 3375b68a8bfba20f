//! The coursevault binary: hands its arguments to the command line and leaves with the code that comes back.

use std::process::ExitCode;

/// The allocator of glibc keeps what each of many threads freed, which nearly doubles the memory of uploads and downloads.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    coursevault::cli::main(std::env::args_os())
}
