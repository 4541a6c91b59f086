//! Parsers of option values. Their errors say what is wrong with the value; clap puts "invalid value … for …: " in front of them.

use crate::{
    access::BasicAuth,
    config::{RequestPath, SlowPolicy, StaticFile},
    error::io_message,
    message::Close,
    net::{HostPort, WebSocketUrl},
    report::LogFormat,
};
use clap::{ValueEnum, builder::PossibleValue};
use hyper::header::{HeaderName, HeaderValue};
use std::{fs, net::IpAddr, num::NonZeroUsize, path::PathBuf, time::Duration};
use url::Url;

impl ValueEnum for SlowPolicy {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Disconnect, Self::DropOldest, Self::DropNewest, Self::Block]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Disconnect => PossibleValue::new("disconnect").help("Close it with code 1013"),
            Self::DropOldest => PossibleValue::new("drop-oldest").help("Drop the oldest messages in its backlog"),
            Self::DropNewest => PossibleValue::new("drop-newest").help("Drop new messages"),
            Self::Block => PossibleValue::new("block").help("Pause its room until the backlog has shrunk"),
        })
    }
}

impl ValueEnum for LogFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Text, Self::Json]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Text => PossibleValue::new("text").help("Plain text"),
            Self::Json => PossibleValue::new("json").help("One JSON object per line"),
        })
    }
}

/// How long a history is kept.
pub fn history_ttl(text: &str) -> Result<Duration, String> {
    // The engine of a cluster keeps the numbers of messages for a day.
    let range = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
    duration(text)
        .and_then(|ttl| if range.contains(&ttl) { Ok(ttl) } else { Err("must be between 1 s and 24 h".into()) })
}

/// A duration, such as `5`, `0.3`, `300ms`, `5s`, `2m` or `1h`; the default unit is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let number: f64 = number.parse().map_err(|_| "not a number of seconds, such as 5, 0.3 or 300ms".to_owned())?;
    let seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("the unit must be ms, s, m or h".into()),
    };
    // At most a year: longer durations overflow timers.
    let all = number * seconds;
    if (0.0..=31_536_000.0).contains(&all) {
        Ok(Duration::from_secs_f64(all))
    } else {
        Err("must be between 0 and a year".into())
    }
}

/// A number of bytes with an optional suffix `k`, `m` or `g` (powers of 1024); at least 1.
pub fn size(text: &str) -> Result<usize, String> {
    any_size(text).and_then(|bytes| if bytes > 0 { Ok(bytes) } else { Err("must be at least 1".into()) })
}

/// As [`size`], but 0 is allowed.
pub fn any_size(text: &str) -> Result<usize, String> {
    let lower = text.to_ascii_lowercase();
    let (number, shift) = match lower.as_bytes().last() {
        Some(b'k') => (&lower[..lower.len() - 1], 10),
        Some(b'm') => (&lower[..lower.len() - 1], 20),
        Some(b'g') => (&lower[..lower.len() - 1], 30),
        _ => (&lower[..], 0),
    };
    let number: usize = number.parse().map_err(|_| "not a number of bytes".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "is too large".into())
}

/// The name of a cluster, which becomes a part of names in Redis and NATS.
pub fn cluster_name(text: &str) -> Result<String, String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    if !text.is_empty() && text.len() <= 64 && text.chars().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 64 letters, digits, - or _".into())
    }
}

/// A byte as a number, `10` or `0x0a`.
pub fn byte(text: &str) -> Result<u8, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    parsed.ok_or_else(|| "must be a number from 0 to 255, or from 0x00 to 0xff".into())
}

/// A number of threads. Each takes two descriptors and a stack, so the maximum only prevents mistakes.
pub fn threads(text: &str) -> Result<NonZeroUsize, String> {
    const MOST: usize = 1024;
    let count = text.parse().ok().filter(|count: &NonZeroUsize| count.get() <= MOST);
    count.ok_or_else(|| format!("must be a number from 1 to {MOST}"))
}

/// The length of a request's head. hyper reads no less at once.
pub fn header_length(text: &str) -> Result<usize, String> {
    any_size(text).and_then(|bytes| if bytes >= 8 << 10 { Ok(bytes) } else { Err("must be at least 8k".into()) })
}

/// A header, `Name: value`. Errors do not show it: it may be a login.
pub fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected `Name: value`")?;
    let (name, value) = (name.trim(), value.trim());
    let parsed =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| "what is before the colon is not a header name")?;
    Ok((parsed, header_value(value)?))
}

/// The headers of one `-H`.
#[derive(Clone, Debug)]
pub struct Headers(pub Vec<(HeaderName, HeaderValue)>);

/// A header, or the headers in a file: `@FILE` has one a line; empty lines and those that start with `#` are skipped.
pub fn headers(text: &str) -> Result<Headers, String> {
    let Some(path) = text.strip_prefix('@') else { return header(text).map(|header| Headers(vec![header])) };
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {}", io_message(&error)))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let parsed = lines.map(|(at, line)| header(line).map_err(|reason| format!("line {} of {path}: {reason}", at + 1)));
    parsed.collect::<Result<_, _>>().map(Headers)
}

/// The value of a header, such as an `Origin`.
pub fn header_value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text)
        .map_err(|_| "a header value may contain only visible ASCII characters and spaces".to_owned())
}

/// An origin as browsers send it: a scheme, a host and, unless it is the default of the scheme, a port (RFC 6454 section 6.2).
/// Browsers send `null` for pages without an origin, such as local files.
pub fn origin(text: &str) -> Result<String, String> {
    if text == "null" {
        return Ok(text.into());
    }
    if text == "*" {
        return Err("to allow any origin, omit this option".into());
    }
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let Some(url) = Url::parse(&whole).ok().filter(Url::has_host) else {
        return Err("expected https://HOST or https://HOST:PORT".into());
    };
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let expected = format!("{}://{host}{port}", url.scheme());
    if expected.eq_ignore_ascii_case(text) { Ok(expected) } else { Err(format!("browsers send it as {expected}")) }
}

/// A subprotocol: an HTTP token (RFC 6455 section 4.1, RFC 9110 section 5.6.2).
pub fn subprotocol(text: &str) -> Result<HeaderValue, String> {
    if text.is_empty() || !text.bytes().all(crate::ws::is_token) {
        return Err(format!("`{text}` is not a subprotocol (letters, digits and -._+)"));
    }
    header_value(text)
}

/// Subprotocols, separated by commas.
pub fn subprotocols(text: &str) -> Result<Subprotocols, String> {
    text.split(',').map(|name| subprotocol(name.trim())).collect::<Result<_, _>>().map(Subprotocols)
}

/// The value of `--protocol`. Not a plain `Vec`, which clap would treat as several values.
#[derive(Clone)]
pub struct Subprotocols(pub Vec<HeaderValue>);

/// The value of `--basic-auth`.
pub fn basic_auth(text: &str) -> Result<BasicAuth, String> {
    if text.contains(':') {
        Ok(BasicAuth::new(text))
    } else {
        Err("expected USER:PASSWORD; write USER: for no password".into())
    }
}

/// The value of `--ws-c-uri`.
pub fn websocket_url(text: &str) -> Result<WebSocketUrl, String> {
    WebSocketUrl::parse(text).map(WebSocketUrl::with_target)
}

/// The value of `--static-file`, `/URI:CONTENT-TYPE:FILE`; the path of the file may contain colons.
pub fn static_file(text: &str) -> Result<StaticFile, String> {
    let mut parts = text.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(uri), Some(content_type), Some(path)) if uri.starts_with('/') && !path.is_empty() => {
            let content_type = HeaderValue::from_str(content_type).map_err(|_| "invalid content type".to_owned())?;
            Ok(StaticFile { uri: RequestPath::parse(uri)?, content_type, path: path.into() })
        }
        _ => Err("expected /URI:CONTENT-TYPE:FILE, for example /index.html:text/html:page.html".into()),
    }
}

/// A close code that an endpoint may send.
pub fn close_code(text: &str) -> Result<u16, String> {
    Close::parse_code(text).ok_or_else(|| format!("must be {}", Close::CODES))
}

/// A network, such as `10.0.0.0/8`, or a single address.
pub fn network(text: &str) -> Result<ipnet::IpNet, String> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.into()),
        Err(_) => text.parse().map_err(|_| "expected an address or ADDRESS/BITS, for example 10.0.0.0/8".into()),
    }
}

/// A directory that exists.
pub fn directory(text: &str) -> Result<PathBuf, String> {
    match fs::metadata(text) {
        Ok(found) if found.is_dir() => Ok(text.into()),
        Ok(_) => Err("not a directory".into()),
        Err(error) => Err(io_message(&error)),
    }
}

/// The permissions of a file, in octal.
pub fn file_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "expected permissions in octal, such as 660".to_owned())
}

/// The address of a multicast group.
pub fn multicast_group(text: &str) -> Result<IpAddr, String> {
    let group = text.parse().ok().filter(IpAddr::is_multicast);
    group.ok_or_else(|| "not a multicast address, such as 239.1.2.3 or ff02::123".to_owned())
}

/// The address of a listener, such as `8080` or `0.0.0.0:8080`.
pub fn server_address(text: &str) -> Result<HostPort, String> {
    HostPort::parse_listen(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_value_is_parsed_or_an_error(text in "[0-9kmsh.:,/%*@a\\[\\]\u{e4} -]{0,12}|\\PC{0,30}") {
            let _ = (duration(&text), size(&text), any_size(&text), header(&text), header_value(&text), origin(&text));
            let _ = (subprotocols(&text).is_ok(), RequestPath::parse(&text), static_file(&text), close_code(&text));
            let _ = (Close::parse_reason(&text), network(&text), byte(&text));
            if let Ok(address) = server_address(&text) {
                prop_assert_eq!(server_address(&address.to_string()), Ok(address));
            }
            if let Ok(origin_of) = origin(&text) {
                prop_assert_eq!(origin(&origin_of), Ok(origin_of));
            }
        }
    }

    #[test]
    fn durations_take_units() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["", "x", "-1", "1d", "nan", "inf", "1e99"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_origin_must_be_as_browsers_send_it() {
        for right in ["https://a.example", "http://a.example:8080", "null", "https://[::1]:1", "chrome-extension://abc"]
        {
            assert_eq!(origin(right), Ok(right.into()));
        }
        for (wrong, meant) in [
            ("https://a.example/", "https://a.example"),
            ("https://a.example/page", "https://a.example"),
            ("a.example", "https://a.example"),
            ("a.example:8080", "https://a.example:8080"),
            ("https://a.example:443", "https://a.example"),
            ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example"),
            ("https://me@a.example", "https://a.example"),
            ("*", "omit this option"),
            ("", "HOST"),
            ("https://", "HOST"),
            ("a b", "HOST"),
        ] {
            assert!(origin(wrong).is_err_and(|reason| reason.contains(meant)), "{wrong}: {:?}", origin(wrong));
        }
    }

    #[test]
    fn sizes_take_units() {
        assert_eq!(size("64m"), Ok(64 << 20));
        assert_eq!(size("1K"), Ok(1024));
        for wrong in ["", "0", "-1", "x", "m", "99999999999999999999g"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
