//! The coursevault binary.

fn main() {}
