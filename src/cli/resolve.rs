//! Options of name look-ups.

use crate::net::{IpVersion, KnownHost, ResolveOptions};
use clap::Args;

/// Name look-ups.
#[derive(Args, Default)]
#[command(next_help_heading = "Name look-ups")]
pub struct ResolveArgs {
    /// Use IPv4 addresses only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// Use IPv6 addresses only
    #[arg(short = '6', long)]
    pub ipv6: bool,
    /// Use these addresses for HOST and PORT instead of looking the name up; * is every host. May be repeated
    #[arg(long, value_name = "HOST:PORT:ADDR[,ADDR]", value_parser = KnownHost::parse)]
    pub resolve: Vec<KnownHost>,
}

impl From<ResolveArgs> for ResolveOptions {
    fn from(args: ResolveArgs) -> Self {
        let only = match (args.ipv4, args.ipv6) {
            (true, _) => Some(IpVersion::V4),
            (_, true) => Some(IpVersion::V6),
            _ => None,
        };
        Self { only, known: args.resolve }
    }
}
