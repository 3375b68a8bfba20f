//! The service through its front door: a real server on a loopback port, and real clients.

#[path = "../support/app.rs"]
mod app;
#[path = "../support/client.rs"]
mod client;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/s3.rs"]
mod s3_server;

mod access;
mod areas;
mod automation;
mod bounds;
mod chaos;
mod command_line;
mod compare;
mod copies;
mod crash;
mod decisions;
mod directory;
mod errors;
mod faults;
mod idempotency;
mod imports;
mod jobs;
mod listing;
mod main_job;
mod observability;
mod refused_uploads;
mod restore_plans;
mod restores;
mod retention;
mod round_trips;
mod settings;
mod store;
mod surface;
mod transfer;
mod users;
