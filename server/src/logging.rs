//! Log lines on standard output: text for people, JSON for collectors.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// How much is logged, and how.
#[derive(Clone, Debug, Args)]
pub struct Logging {
    /// Least level that is logged (error, warn, info, debug, trace), or a filter such as `info,zk_net::client=debug`.
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = parse_filter)]
    pub log_level: String,
    /// How lines look.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: Format,
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Time, level, message and fields.
    Text,
    /// One JSON object a line.
    Json,
}

fn parse_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// From here on events are logged. Once per process.
pub(crate) fn begin(logging: &Logging) {
    let lines = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(&logging.log_level));
    match logging.log_format {
        Format::Text => lines.with_ansi(false).with_target(false).init(),
        Format::Json => lines.json().flatten_event(true).init(),
    }
}
