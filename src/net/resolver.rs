//! Name look-ups, and the options that change them.

use super::HostPort;
use crate::error::Error;
use std::{
    net::{IpAddr, SocketAddr},
    sync::OnceLock,
};

/// An IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Addresses for a host and a port, in place of a look-up (`--resolve`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownHost {
    /// In lower case; `*` is every host.
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

impl KnownHost {
    /// Parses `HOST:PORT:ADDR[,ADDR]...`, as curl does. IPv6 addresses may have brackets.
    ///
    /// # Errors
    /// A message that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = "expected HOST:PORT:ADDR[,ADDR]..., for example example.com:443:127.0.0.1";
        let rest_after = |host: &str| text.get(host.len()..).and_then(|rest| rest.strip_prefix(':'));
        let host = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((inside, _)) => &text[..inside.len() + 2],
            None => text.split(':').next().unwrap_or_default(),
        };
        let (port, addresses) = rest_after(host).and_then(|rest| rest.split_once(':')).ok_or(expected)?;
        let port = port.parse().map_err(|_| format!("`{port}` is not a port number; {expected}"))?;
        let addresses = addresses.split(',').map(|address| {
            address
                .trim_matches(['[', ']'])
                .parse()
                .map_err(|_| format!("`{address}` is not an IP address; {expected}"))
        });
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        if host.is_empty() {
            return Err(expected.into());
        }
        Ok(Self { host, port, addresses: addresses.collect::<Result<_, _>>()? })
    }

    fn is_for(&self, at: &HostPort) -> bool {
        self.port == at.port && (self.host == "*" || self.host.eq_ignore_ascii_case(&at.host))
    }
}

/// Options of name look-ups.
#[derive(Debug, Default)]
pub struct ResolveOptions {
    /// Use addresses of this version only.
    pub only: Option<IpVersion>,
    /// Names that are not looked up; the first that fits counts.
    pub known: Vec<KnownHost>,
}

/// The options of this process, if there are any.
static OPTIONS: OnceLock<ResolveOptions> = OnceLock::new();

/// Sets the options for all look-ups of this process. Only the first call counts.
pub fn set_resolve_options(options: ResolveOptions) {
    if options.only.is_some() || !options.known.is_empty() {
        let _ = OPTIONS.set(options);
    }
}

/// Looks up the addresses of a host.
///
/// # Errors
/// [`Error::Resolve`] if the lookup fails or finds no address.
pub async fn resolve(at: &HostPort) -> Result<Vec<SocketAddr>, Error> {
    let failed = |reason: String| Error::Resolve { host: at.host.clone(), reason };
    let options = OPTIONS.get();
    let known = options.and_then(|options| options.known.iter().find(|known| known.is_for(at)));
    let mut found: Vec<_> = match known {
        Some(known) => known.addresses.iter().map(|address| SocketAddr::new(*address, at.port)).collect(),
        None => {
            let found = tokio::net::lookup_host((at.host.as_str(), at.port)).await.map_err(|error| {
                // std puts "failed to lookup address information: " in front of the error of the resolver.
                let text = error.to_string();
                failed(text.rsplit(": ").next().unwrap_or(&text).to_owned())
            })?;
            found.collect()
        }
    };
    match options.and_then(|options| options.only) {
        None if found.is_empty() => return Err(failed("the name has no address".into())),
        None => {}
        Some(only) => {
            found.retain(|address| address.is_ipv4() == (only == IpVersion::V4));
            if found.is_empty() {
                let (version, option) = if only == IpVersion::V4 { (4, "-4") } else { (6, "-6") };
                return Err(failed(format!("it has no IPv{version} address, and {option} allows no other")));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_hosts_are_written_as_in_curl() {
        let known = KnownHost::parse("Example.com:443:127.0.0.1,[::1],::2").expect("it is right");
        assert_eq!(known.host, "example.com");
        assert_eq!(known.addresses.len(), 3);
        assert!(known.is_for(&HostPort { host: "EXAMPLE.COM".into(), port: 443 }));
        assert!(!known.is_for(&HostPort { host: "example.com".into(), port: 80 }));
        assert!(KnownHost::parse("*:80:::1").is_ok_and(|known| known.is_for(&HostPort { host: "x".into(), port: 80 })));
        assert!(KnownHost::parse("[::1]:80:127.0.0.1").is_ok());
        for wrong in ["", "a", "a:80", "a:80:", "a:b:127.0.0.1", ":80:127.0.0.1", "a:80:b", "a:80:127.0.0.1,"] {
            assert!(KnownHost::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_known_host_or_an_error(text in "[a-z0-9\\[\\]:.,*\u{e4}]{0,30}|\\PC{0,20}") {
            let _ = KnownHost::parse(&text);
        }
    }
}
