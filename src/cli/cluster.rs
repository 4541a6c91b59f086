//! Options of a room server that shares its rooms with others.

use super::values::{self, duration};
use crate::{
    cluster::{ClusterOptions, Credentials, EngineUrl, WhenDown},
    error::{Error, io_message},
};
use clap::{Args, ValueEnum, builder::PossibleValue};
use smart_default::SmartDefault;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// For how long the engine keeps what was published, at least: a server that missed it fetches it.
const KEPT: Duration = Duration::from_secs(600);

/// Rooms over several machines.
#[derive(Args, Debug, SmartDefault)]
#[command(next_help_heading = "Rooms over several machines")]
pub struct ClusterArgs {
    /// Share the rooms with all room servers that have the same URL, by way of Redis, redis://HOST[:PORT][/DATABASE], or of NATS
    /// with JetStream, nats://HOST[:PORT]; rediss:// and tls:// with TLS. If the server cannot be used, exit 3
    #[arg(long, value_name = "URL", value_parser = EngineUrl::parse)]
    pub cluster: Option<EngineUrl>,
    /// Name of the cluster; servers with another name have other rooms
    #[arg(long, value_name = "NAME", value_parser = values::cluster_name, default_value = "wsplice", requires = "cluster")]
    #[default("wsplice".into())]
    pub cluster_name: String,
    /// File with PASSWORD or USER:PASSWORD, or a token of NATS, for --cluster; better than in the URL, which other users of this machine can see
    #[arg(long, value_name = "FILE", requires = "cluster")]
    pub cluster_auth: Option<PathBuf>,
    /// CA certificates to trust for --cluster with TLS (PEM). Default: those of the system
    #[arg(long, value_name = "FILE", requires = "cluster")]
    pub cluster_ca: Option<PathBuf>,
    /// When the server of --cluster does not answer, keep members connected for SECONDS; reading from them pauses
    #[arg(long, value_name = "SECONDS", value_parser = duration, default_value = "5", requires = "cluster")]
    #[default(Duration::from_secs(5))]
    pub cluster_wait: Duration,
    /// What to do after that
    #[arg(long, value_name = "POLICY", value_enum, default_value = "close", requires = "cluster")]
    #[default(WhenDown::Close)]
    pub cluster_down: WhenDown,
}

impl ValueEnum for WhenDown {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Close, Self::Local]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Close => PossibleValue::new("close")
                .help("Close members with code 1013; handshakes and the health check get 503"),
            Self::Local => PossibleValue::new("local")
                .help("Serve the members of this server alone; close them with code 1012 when the others are back"),
        })
    }
}

impl ClusterArgs {
    /// What they mean; `None` without `--cluster`.
    ///
    /// # Errors
    /// There are no rooms, or the file of `--cluster-auth` cannot be used.
    pub fn options(self, broadcast: bool, history: Option<Duration>) -> Result<Option<ClusterOptions>, Error> {
        let Some(mut engine) = self.cluster else { return Ok(None) };
        if !broadcast {
            return Err(Error::usage("--broadcast is required with --cluster: it shares rooms"));
        }
        if let Some(path) = &self.cluster_auth {
            if engine.credentials.is_some() {
                return Err(Error::usage("--cluster has a password already, so --cluster-auth cannot be used"));
            }
            engine.credentials = Some(credentials(path)?);
        }
        if self.cluster_ca.is_some() && !engine.tls {
            return Err(Error::usage_hint("--cluster-ca needs TLS", "rediss:// and tls:// connect with TLS"));
        }
        Ok(Some(ClusterOptions {
            engine,
            name: self.cluster_name,
            ca: self.cluster_ca,
            wait: self.cluster_wait,
            when_down: self.cluster_down,
            kept: history.unwrap_or_default().max(KEPT),
        }))
    }
}

/// The first line of a file.
fn credentials(path: &Path) -> Result<Credentials, Error> {
    let text = fs::read_to_string(path)
        .map_err(|error| Error::Setup(anyhow::anyhow!("cannot read {}: {}", path.display(), io_message(&error))))?;
    match text.lines().next().map(str::trim_end).filter(|line| !line.is_empty()) {
        Some(line) => Ok(Credentials::parse(line)),
        None => Err(Error::Setup(anyhow::anyhow!("{} has no password in its first line", path.display()))),
    }
}
