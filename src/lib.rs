//! coursevault: backup and restore of course spaces as a gRPC service.
//!
//! Code map, lowest first; imports point downward only (a test reads the `use` lines and holds this):
//!
//! - values: [`calendar`], [`clock`], [`digest`], [`ids`], [`label`], [`limits`], [`metric`] (what is measured),
//!   [`principal`], [`reason`], [`trace`] (which call it is about)
//! - pure domain, no async, clock, network or database: [`course`] (trees of members), [`archive`] (containers),
//!   [`moodle`] (Moodle's documents), [`format`] (what they mean), [`renumber`] (new ids, and every reference follows),
//!   [`matching`] (what becomes of every id of an archive that is restored), [`merge`] (one tree into another),
//!   [`backup`], [`derive`], [`imscc`] (Common Cartridge), [`compare`] (two archives, document by document), [`job`],
//!   [`access`] (who may do what with an archive), [`filter`] (what callers ask lists for), [`retention`] (how long archives are kept),
//!   [`schedule`] (when the service does things by itself), [`directory`] (who is known on a site)
//! - adapters, strangers to each other: [`catalog`] (SQL), [`vault`] (object storage)
//! - [`engine`]: use cases, the only place where domain meets adapters
//! - drivers: [`grpc`], [`worker`], [`cli`]; [`app`] puts everything together

pub mod access;
pub mod app;
pub mod archive;
pub mod backup;
pub mod calendar;
pub mod catalog;
pub mod choice;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod config;
pub mod course;
pub mod derive;
pub mod digest;
pub mod directory;
pub mod engine;
pub mod filter;
pub mod format;
pub mod grpc;
pub mod ids;
pub mod imscc;
pub mod job;
pub mod label;
pub mod limits;
pub mod matching;
pub mod merge;
pub mod metric;
pub mod moodle;
pub mod principal;
pub mod reason;
pub mod renumber;
pub mod restore;
pub mod retention;
pub mod schedule;
pub mod shutdown;
pub mod telemetry;
pub mod trace;
pub mod vault;
pub mod worker;

/// Generated from `proto/`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated; the proto files are the documentation"
)]
pub mod proto {
    tonic::include_proto!("coursevault.v1");

    /// Descriptors of all our protos, for reflection.
    pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/coursevault.bin"));
}
