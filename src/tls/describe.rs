//! What was agreed in a TLS handshake, for the log.

use std::time::{SystemTime, UNIX_EPOCH};
use tokio_rustls::rustls::CommonState;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

/// Version and cipher suite of a finished handshake.
pub fn describe(connection: &CommonState) -> String {
    let version = match connection.protocol_version() {
        Some(version) => format!("{version:?}").replace("TLSv1_", "1."),
        None => "of unknown version".into(),
    };
    match connection.negotiated_cipher_suite() {
        Some(suite) => format!("{version}, {:?}", suite.suite()),
        None => version,
    }
}

/// The subject of the certificate of the peer, and the days for which it is valid. `None` if there is none that can be read.
pub fn describe_certificate(connection: &CommonState) -> Option<String> {
    let der = connection.peer_certificates()?.first()?;
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let seconds = certificate.validity().not_after.timestamp().saturating_sub_unsigned(now);
    Some(format!("certificate {}, {}", subject(&certificate), time_left(seconds)))
}

/// The subject, or the names for which the certificate is valid if it has none (RFC 5280 section 4.1.2.6).
fn subject(certificate: &X509Certificate<'_>) -> String {
    let subject = certificate.subject().to_string();
    let names = match certificate.subject_alternative_name() {
        Ok(Some(names)) if subject.is_empty() => names,
        _ => return subject,
    };
    names.value.general_names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn time_left(seconds: i64) -> String {
    let days = seconds.unsigned_abs() / 86_400;
    let unit = if days == 1 { "day" } else { "days" };
    if seconds < 0 { format!("expired {days} {unit} ago") } else { format!("expires in {days} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_that_are_left_are_whole_days() {
        let day = 86_400;
        assert_eq!(time_left(10 * day + 5), "expires in 10 days");
        assert_eq!(time_left(day), "expires in 1 day");
        assert_eq!(time_left(5), "expires in 0 days");
        assert_eq!(time_left(-3 * day - 5), "expired 3 days ago");
    }
}
