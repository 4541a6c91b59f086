//! Error messages for the errors of rustls.

use crate::error::{Error, io_message};
use std::{io, time::Duration};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError, InvalidMessage, pki_types::UnixTime};

/// The role of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A server; wsplice is the client.
    Server,
    /// A client; wsplice is the server.
    Client,
}

/// The error of a failed TLS handshake with the peer `name`.
pub fn handshake_error(name: &str, peer: Peer, error: &io::Error) -> Error {
    tls_error(name, peer, error).unwrap_or_else(|| {
        let reason = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the connection ended during the handshake".into(),
            _ => io_message(error),
        };
        Error::Tls { with: name.to_owned(), reason, hint: None }
    })
}

/// The error, if it is one of TLS and not of the connection below. It may occur after the handshake: in TLS 1.3 the client
/// finishes the handshake before the server verifies the client certificate, so the alert arrives with the first data.
pub fn tls_error(name: &str, peer: Peer, error: &io::Error) -> Option<Error> {
    let cause = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let (reason, hint) = match (cause, peer) {
        (rustls::Error::InvalidCertificate(reason), Peer::Server) => server_certificate(reason),
        (rustls::Error::InvalidCertificate(reason), Peer::Client) => client_certificate(reason),
        (other, _) => explain(other, peer),
    };
    Some(Error::Tls { with: name.to_owned(), reason, hint: hint.map(str::to_owned) })
}

const NAME: &str = "connect to a name in the certificate, or set one with --tls-domain NAME";

fn server_certificate(error: &CertificateError) -> (String, Option<&'static str>) {
    const TRUST: &str = "--cacert FILE trusts the CA that signed it, -k accepts any certificate";
    match error {
        CertificateError::Expired => ("the server's certificate has expired".into(), Some(TRUST)),
        CertificateError::ExpiredContext { time, not_after } => {
            let ago = in_days(*time, *not_after);
            (format!("the server's certificate expired {ago} ago"), Some("renew it; -k accepts any certificate"))
        }
        CertificateError::NotValidYet => ("the server's certificate is not valid yet".into(), Some(TRUST)),
        CertificateError::NotValidYetContext { time, not_before } => {
            let ahead = in_days(*not_before, *time);
            let hint = "check the clock of this machine; -k accepts any certificate";
            (format!("the server's certificate becomes valid in {ahead}"), Some(hint))
        }
        CertificateError::NotValidForName => ("the server's certificate is for another name".into(), Some(NAME)),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = presented.iter().map(|name| readable_name(name)).collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "no name".into() } else { names };
            (format!("the server's certificate is for {names}, not for {}", expected.to_str()), Some(NAME))
        }
        CertificateError::UnknownIssuer => {
            ("the server's certificate is not signed by a trusted CA".into(), Some(TRUST))
        }
        CertificateError::Revoked => ("the server's certificate was revoked".into(), None),
        CertificateError::BadSignature => ("the signature of the server's certificate is invalid".into(), None),
        CertificateError::BadEncoding => ("the server's certificate cannot be read".into(), Some("-k accepts it")),
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => (
            "the server's certificate is a CA certificate, which a server must not use".into(),
            Some("create one with `basicConstraints=CA:FALSE`, or use -k"),
        ),
        other => (format!("the server's certificate is not acceptable: {other}"), Some("-k accepts any certificate")),
    }
}

fn client_certificate(error: &CertificateError) -> (String, Option<&'static str>) {
    let whose = "the client's certificate";
    match error {
        CertificateError::Expired => (format!("{whose} has expired"), None),
        CertificateError::ExpiredContext { time, not_after } => {
            (format!("{whose} expired {} ago", in_days(*time, *not_after)), None)
        }
        CertificateError::NotValidYet => (format!("{whose} is not valid yet"), None),
        CertificateError::NotValidYetContext { time, not_before } => (
            format!("{whose} becomes valid in {}", in_days(*not_before, *time)),
            Some("check the clock of this machine"),
        ),
        CertificateError::UnknownIssuer => {
            (format!("{whose} is not signed by a trusted CA"), Some("--client-ca FILE lists the trusted CAs"))
        }
        other => (format!("{whose} is not acceptable: {other}"), None),
    }
}

fn explain(error: &rustls::Error, peer: Peer) -> (String, Option<&'static str>) {
    match error {
        rustls::Error::NoCertificatesPresented => {
            ("the client sent no certificate, which --client-ca requires".into(), None)
        }
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => (
            "the peer does not speak TLS".into(),
            Some("for connections without TLS use ws:// or tcp:, for listeners ws-l: or tcp-l:"),
        ),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => {
                ("the server requires a client certificate".into(), Some("use --client-cert FILE --client-key FILE"))
            }
            AlertDescription::UnknownCA => (
                "the peer does not trust the CA of our certificate".into(),
                Some(match peer {
                    Peer::Server => "add the CA to those that the server trusts (wsplice: --client-ca)",
                    Peer::Client => "add the CA to those that the client trusts (wsplice: --cacert)",
                }),
            ),
            AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::UnsupportedCertificate => {
                (format!("the peer does not accept our certificate ({alert:?})"), None)
            }
            AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => {
                ("no TLS version or cipher suite in common (wsplice supports TLS 1.2 and 1.3)".into(), None)
            }
            AlertDescription::UnrecognisedName => {
                ("the server does not recognize the requested name".into(), Some(NAME))
            }
            other => (format!("the peer ended the handshake ({other:?})"), None),
        },
        other => (other.to_string(), None),
    }
}

/// Extracts the name from the format of webpki: `DnsName("example.com")` or `IpAddress(127.0.0.1)`.
fn readable_name(name: &str) -> String {
    name.split_once('(').map_or(name, |(_, inner)| inner).trim_matches(['(', ')', '"']).to_owned()
}

fn in_days(later: UnixTime, earlier: UnixTime) -> String {
    let gap = Duration::from_secs(later.as_secs().saturating_sub(earlier.as_secs()));
    match gap.as_secs() / 86_400 {
        0 => format!("{} minutes", gap.as_secs() / 60),
        1 => "1 day".into(),
        days => format!("{days} days"),
    }
}
