//! Logs go to standard error. Quiet unless something is wrong or `RUST_LOG` asks for more.

use std::io;

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::cli::{Cli, LogFormat};
use crate::exit::Failure;

pub(crate) fn init(cli: &Cli) -> Result<(), Failure> {
    // Restarts are worth a warning, unless they were asked for.
    let default = if cli.crashes() { LevelFilter::ERROR } else { LevelFilter::WARN };
    let filter = EnvFilter::builder()
        .with_default_directive(default.into())
        .from_env()
        .context("cannot read RUST_LOG; try RUST_LOG=info")
        .map_err(Failure::Input)?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match cli.log {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
}
