//! Compiles `proto/` into the build directory, Rust code and the descriptor set for reflection, and lists `plugins/` so that
//! the binary holds them. Nothing else.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(
        [
            "admin",
            "archive",
            "backup",
            "course",
            "directory",
            "job",
            "policy",
            "restore",
            "restore_settings",
            "settings",
            "transfer",
        ]
        .map(|file| format!("coursevault/v1/{file}.proto")),
    )?;
    std::fs::write(out.join("coursevault.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().bytes(".").compile_fds(compiler.file_descriptor_set())?;
    println!("cargo::rerun-if-changed=proto");
    std::fs::write(out.join("plugins.rs"), plugins()?)?;
    println!("cargo::rerun-if-changed=plugins");
    Ok(())
}

/// The descriptions below `plugins/` as one expression: pairs of file name and text.
fn plugins() -> std::io::Result<String> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir("plugins")?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "plugin"));
    files.sort();
    let mut list = String::from("&[\n");
    for file in files {
        let path = file.canonicalize()?;
        let name = file.file_name().unwrap_or_default();
        list.push_str(&format!("    ({name:?}, include_str!({path:?})),\n"));
    }
    list.push_str("]\n");
    Ok(list)
}
