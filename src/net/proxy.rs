//! Proxies: their URLs, the hosts that are reached without one, and the environment variables that name both.

use super::{HostPort, url::decode};
use crate::{access::BasicAuth, error::Error};
use ipnet::IpNet;
use std::{env, fmt, net::IpAddr, path::PathBuf};
use url::Url;

/// The protocol that a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyScheme {
    /// HTTP's CONNECT.
    Http,
    /// The same over TLS.
    Https,
    /// SOCKS5 with addresses: we look names up.
    Socks5,
    /// SOCKS5 with host names: the proxy looks them up.
    Socks5h,
}

/// The user name and the password for a proxy. It has no `Debug`, so that it cannot be logged.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyLogin {
    /// The user name.
    pub user: String,
    /// The password; empty if there is none.
    pub password: String,
}

impl ProxyLogin {
    /// Parses `USER:PASSWORD`, or `USER` alone. SOCKS5 allows 255 bytes for each (RFC 1929).
    ///
    /// # Errors
    /// A message that says what is wrong. It does not contain the password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        Self { user: user.into(), password: password.into() }.checked()
    }

    fn checked(self) -> Result<Self, String> {
        match self {
            Self { user, .. } if user.is_empty() => Err("the user name is missing: write USER:PASSWORD".into()),
            Self { user, password } if user.len().max(password.len()) > 255 => {
                Err("the user name and the password may have 255 bytes each".into())
            }
            login => Ok(login),
        }
    }

    /// The value of `Proxy-Authorization`.
    pub fn basic_auth(&self) -> BasicAuth {
        BasicAuth::new(&format!("{}:{}", self.user, self.password))
    }
}

/// The URL of a proxy. `Display` omits the user name and the password.
#[derive(Clone)]
pub struct ProxyUrl {
    /// The protocol.
    pub scheme: ProxyScheme,
    /// Where it listens.
    pub at: HostPort,
    /// From `USER:PASSWORD@`.
    pub login: Option<ProxyLogin>,
}

impl ProxyUrl {
    /// Parses `[SCHEME://][USER:PASSWORD@]HOST[:PORT]`. As in curl the scheme is http by default, and the port 1080, of https 443.
    ///
    /// # Errors
    /// A message that says what is wrong. It does not contain the URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => ProxyScheme::Http,
            "https" => ProxyScheme::Https,
            "socks5" => ProxyScheme::Socks5,
            "socks5h" | "socks" => ProxyScheme::Socks5h,
            other => return Err(format!("`{other}` is not http, https, socks5 or socks5h")),
        };
        // The url crate omits the default port of a scheme that it knows, which here is another one.
        let url = Url::parse(&format!("proxy://{rest}")).map_err(|error| error.to_string())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("the host is missing")?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("expected [SCHEME://][USER:PASSWORD@]HOST[:PORT]".into());
        }
        if url.port() == Some(0) {
            return Err("cannot connect to port 0".into());
        }
        let port = url.port().unwrap_or(if scheme == ProxyScheme::Https { 443 } else { 1080 });
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let login = ProxyLogin { user: decode(user), password: decode(password.unwrap_or_default()) };
                Some(login.checked()?)
            }
        };
        Ok(Self { scheme, at: HostPort { host: host.trim_matches(['[', ']']).into(), port }, login })
    }
}

/// Which proxy is used.
#[derive(Clone, Default)]
pub enum ProxyChoice {
    /// The one that the environment names for the scheme of a URL, if it names one.
    #[default]
    Environment,
    /// None.
    Direct,
    /// This one.
    Through(ProxyUrl),
}

impl ProxyChoice {
    /// Parses the value of `--proxy` or of a variable: empty means none.
    ///
    /// # Errors
    /// As [`ProxyUrl::parse`].
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(Self::Direct) } else { ProxyUrl::parse(text).map(Self::Through) }
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            ProxyScheme::Http => "http",
            ProxyScheme::Https => "https",
            ProxyScheme::Socks5 => "socks5",
            ProxyScheme::Socks5h => "socks5h",
        };
        write!(f, "{scheme}://{}", self.at)
    }
}

/// The proxy of connections, and the options of `socks5-connect:` and `socks5-bind:`.
#[derive(Default)]
pub struct ProxyOptions {
    /// `--proxy`, `--socks5`.
    pub proxy: ProxyChoice,
    /// `--noproxy`, in place of `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// The login, unless the proxy's URL has one.
    pub login: Option<ProxyLogin>,
    /// What `socks5-connect:` and `socks5-bind:` ask for.
    pub destination: Option<HostPort>,
    /// The program that `socks5-bind:` runs, with the port as its argument.
    pub bind_script: Option<PathBuf>,
}

impl ProxyOptions {
    /// The proxy through which to connect to `at`. `scheme` is that of the URL; the environment concerns connections with a scheme
    /// only.
    ///
    /// # Errors
    /// [`Error::Usage`] if a variable of the environment is not the URL of a proxy.
    pub fn proxy_for(&self, at: &HostPort, scheme: Option<&str>) -> Result<Option<ProxyUrl>, Error> {
        let choice = match (&self.proxy, scheme) {
            (ProxyChoice::Environment, Some(scheme)) => from_environment(scheme)?,
            (given, _) => given.clone(),
        };
        let ProxyChoice::Through(mut proxy) = choice else { return Ok(None) };
        let excepted = self.no_proxy.clone().or_else(|| variable(&["no_proxy", "NO_PROXY"]).map(|(_, value)| value));
        if excepted.is_some_and(|hosts| is_excepted(&hosts, &at.host)) {
            return Ok(None);
        }
        proxy.login = proxy.login.or_else(|| self.login.clone());
        Ok(Some(proxy))
    }
}

/// The proxy that the environment names for a scheme, by the rules of curl: the lower case goes first, `ws` is like `http`, and an
/// empty variable means none.
fn from_environment(scheme: &str) -> Result<ProxyChoice, Error> {
    let names: &[&str] = match scheme {
        "wss" => &["wss_proxy", "WSS_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        "https" => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        // A web server gives a CGI program the header `Proxy` of a request as HTTP_PROXY.
        _ if env::var_os("REQUEST_METHOD").is_some() => {
            &["ws_proxy", "WS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"]
        }
        "ws" => &["ws_proxy", "WS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
        _ => &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
    };
    match variable(names) {
        Some((name, value)) => ProxyChoice::parse(&value).map_err(|reason| {
            Error::usage_hint(
                format!("the environment variable {name} is not the URL of a proxy: {reason}"),
                "unset it, or use --proxy URL in its place; --proxy '' connects without a proxy",
            )
        }),
        None => Ok(ProxyChoice::Direct),
    }
}

/// The first variable that is set, and its value.
fn variable(names: &[&'static str]) -> Option<(&'static str, String)> {
    names.iter().find_map(|name| Some((*name, env::var_os(name)?.to_string_lossy().trim().to_owned())))
}

/// Whether a host is reached without a proxy. The list has names, which stand for their subdomains, too, addresses and networks such
/// as `10.0.0.0/8`, separated by commas or spaces; `*` is every host.
fn is_excepted(hosts: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok();
    let mut entries = hosts.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
    entries.any(|entry| match (entry, address) {
        ("*", _) => true,
        (entry, Some(address)) => {
            let entry = entry.trim_matches(['[', ']']);
            let network = entry.parse::<IpNet>().ok().or_else(|| Some(entry.parse::<IpAddr>().ok()?.into()));
            network.is_some_and(|network: IpNet| network.contains(&address))
        }
        (entry, None) => {
            let entry = entry.trim_start_matches("*.").trim_matches('.').to_ascii_lowercase();
            let before = host.strip_suffix(entry.as_str()).filter(|_| !entry.is_empty());
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_proxy_has_a_scheme_a_host_and_a_port() {
        for (text, shown) in [
            ("proxy", "http://proxy:1080"),
            ("proxy:3128", "http://proxy:3128"),
            ("http://proxy:80/", "http://proxy:80"),
            ("HTTPS://proxy", "https://proxy:443"),
            ("socks5://me:secret@[::1]:9", "socks5://[::1]:9"),
            ("socks5h://10.0.0.1", "socks5h://10.0.0.1:1080"),
        ] {
            assert_eq!(ProxyUrl::parse(text).map(|url| url.to_string()), Ok(shown.into()), "{text}");
        }
        let login = ProxyUrl::parse("socks5://m%40e:s%3Ax@h").ok().and_then(|url| url.login);
        assert!(login.is_some_and(|login| login.user == "m@e" && login.password == "s:x"));
        for wrong in ["", "ftp://h", "socks4://h", "http://", "h:99999", "h:0", "h/path", "http://:pw@h"] {
            assert!(ProxyUrl::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts_without_a_proxy_are_names_with_subdomains_addresses_and_networks() {
        let hosts = "localhost, .Example.com *.test  10.0.0.0/8,[::1],192.0.2.7";
        for host in
            ["localhost", "example.com", "a.b.EXAMPLE.com", "x.test", "10.9.8.7", "::1", "192.0.2.7", "example.com."]
        {
            assert!(is_excepted(hosts, host), "{host}");
        }
        for host in ["badexample.com", "com", "local", "11.0.0.1", "::2", "192.0.2.8", "7"] {
            assert!(!is_excepted(hosts, host), "{host}");
        }
        assert!(is_excepted("*", "anything") && is_excepted("a,*", "::1"));
        assert!(!is_excepted("", "a") && !is_excepted(".", "a") && !is_excepted(" , ", "a"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_proxy_or_an_error(text in "\\PC{0,30}|(http|socks5)://[a-z0-9@:/.\\[\\]%]{0,20}", host in ".{0,10}") {
            let _ = (ProxyUrl::parse(&text).is_ok(), ProxyLogin::parse(&text).is_ok(), is_excepted(&text, &host));
        }
    }
}
