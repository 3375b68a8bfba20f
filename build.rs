//! Compiles `proto/` into the build directory: Rust code and the descriptor set for reflection. Nothing else.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(
        ["admin", "archive", "backup", "course", "job", "restore", "settings", "transfer"]
            .map(|file| format!("coursevault/v1/{file}.proto")),
    )?;
    std::fs::write(out.join("coursevault.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().bytes(".").compile_fds(compiler.file_descriptor_set())?;
    println!("cargo::rerun-if-changed=proto");
    Ok(())
}
