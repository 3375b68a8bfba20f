//! `token`: a new secret for somebody, and what to put into the configuration for it. Needs no server.

use anyhow::Context as _;
use serde_json::json;
use sha2::{Digest as _, Sha256 as Hasher};

use super::output::Output;
use crate::digest::Sha256;
use crate::identity::new_token;

/// `token`: makes a secret of 256 random bits. It is shown once and kept nowhere.
pub fn run(output: Output) -> anyhow::Result<()> {
    let token = new_token().context("this machine gives no random numbers")?;
    let digest = Sha256(Hasher::digest(token.as_bytes()).into());
    if output.is_json() {
        return Ok(output.document(&json!({ "token": token, "sha256": digest.to_string() }))?);
    }
    Ok(output.text(&format!("token   {token}\nsha256  {digest}\n"))?)
}
