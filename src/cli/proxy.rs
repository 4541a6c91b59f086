//! Options of proxies.

use crate::net::{HostPort, ProxyChoice, ProxyLogin, ProxyOptions, ProxyUrl};
use clap::Args;
use std::path::PathBuf;

/// Proxies.
#[derive(Args, Default)]
#[command(next_help_heading = "Proxies")]
pub struct ProxyArgs {
    /// Connect through a proxy: http://, https://, socks5:// (wsplice looks names up) or socks5h:// (the proxy does), with
    /// USER:PASSWORD@ to log in; '' connects without one. Default, for URLs: the environment, see PROXIES in the manual
    #[arg(long, value_name = "URL", value_parser = ProxyChoice::parse)]
    pub proxy: Option<ProxyChoice>,
    /// Hosts to reach without a proxy, separated by commas: names with their subdomains, addresses, networks, or * for all.
    /// Default: NO_PROXY
    #[arg(long, value_name = "HOSTS")]
    pub noproxy: Option<String>,
    /// Connect through this SOCKS5 proxy, which looks names up; same as --proxy socks5h://HOST:PORT
    #[arg(long, visible_alias = "socks5-hostname", value_name = "HOST:PORT", value_parser = socks5, conflicts_with = "proxy")]
    pub socks5: Option<ProxyUrl>,
    /// Log in to the proxy
    #[arg(long, visible_alias = "proxy-user", value_name = "USER:PASSWORD", value_parser = ProxyLogin::parse)]
    pub socks5_user_pass: Option<ProxyLogin>,
    /// Where socks5-connect: connects to, or from where socks5-bind: accepts a connection
    #[arg(long, value_name = "HOST:PORT", value_parser = HostPort::parse)]
    pub socks5_destination: Option<HostPort>,
    /// Run this program when socks5-bind: listens, with the port as its argument
    #[arg(long, value_name = "FILE")]
    pub socks5_bind_script: Option<PathBuf>,
}

impl From<ProxyArgs> for ProxyOptions {
    fn from(args: ProxyArgs) -> Self {
        Self {
            proxy: args.proxy.or(args.socks5.map(ProxyChoice::Through)).unwrap_or_default(),
            no_proxy: args.noproxy,
            login: args.socks5_user_pass,
            destination: args.socks5_destination,
            bind_script: args.socks5_bind_script,
        }
    }
}

fn socks5(text: &str) -> Result<ProxyUrl, String> {
    match text.split_once("://") {
        Some((scheme, _)) if !scheme.starts_with("socks") => Err("expected HOST:PORT of a SOCKS5 proxy".into()),
        Some(_) => ProxyUrl::parse(text),
        None => ProxyUrl::parse(&format!("socks5h://{text}")),
    }
}
