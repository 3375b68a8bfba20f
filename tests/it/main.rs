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
mod audit;
mod bounds;
mod command_line;
mod compare;
mod copies;
mod crash;
mod decisions;
mod directory;
mod errors;
mod faults;
mod idempotency;
mod identities;
mod jobs;
mod listing;
mod main_job;
mod permissions;
mod quotas;
mod refused_uploads;
mod restores;
mod secrets;
mod settings;
mod store;
mod surface;
mod tls;
mod transfer;
mod users;
