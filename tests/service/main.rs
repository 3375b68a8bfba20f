//! The service through its front door: a real server, real clients, real archives.

#[path = "../support/app.rs"]
mod app;
#[path = "../support/members.rs"]
mod members;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/s3.rs"]
mod s3;

mod crash;
mod main_job;
mod surface;
mod transfers;
