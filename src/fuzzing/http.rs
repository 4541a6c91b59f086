//! Parsers of HTTP headers.

use super::config;
use crate::{
    access::{AccessOptions, Secrets, token_of_query, without_token},
    http::{client_handshake, has_token, list, response_choice as route},
    net::Peer,
    ws::{Offers, derive_accept_key},
};
use hyper::{
    HeaderMap, Request,
    header::{self, HeaderName, HeaderValue},
};
use std::net::{IpAddr, Ipv4Addr};

/// Parses `name: value` lines to headers as hyper returns them. Skips lines that hyper would reject.
fn parse(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(at + 1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..at]), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// An opening handshake: the first line is the target, the others are headers. Also a response with these headers.
pub fn headers(data: &[u8]) {
    let (target, lines) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let headers = parse(lines.strip_prefix(b"\n").unwrap_or_default());
    for name in headers.keys() {
        for member in list(&headers, name.clone()) {
            assert!(!member.is_empty() && member == member.trim() && !member.contains(','));
            assert!(has_token(&headers, name.clone(), &member.to_ascii_uppercase()));
        }
    }
    check_answer(headers.clone());
    let Ok(request) = Request::get(target).body(()) else { return };
    let (mut head, ()) = request.into_parts();
    head.headers = headers;
    // One is missing in most inputs, which would be refused for that alone.
    head.headers.entry(header::HOST).or_insert(HeaderValue::from_static("localhost"));
    if let route::Route::Upgrade { request, .. } = route::route(head, &Peer::named("client"), &config().server) {
        assert!(request.target.as_str().starts_with('/') || request.target == "*");
        route::choose_protocol(&request.protocols, None, &config().server);
    }
}

/// Checks a response with these headers as a client does, without and with the required headers.
fn check_answer(mut headers: HeaderMap) {
    let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
    let offered = ["chat", "other"].map(HeaderValue::from_static);
    let (offers, _) = Offers::ours(&config().websocket.deflate);
    let _ = client_handshake::check(&headers, &key, &offered, &offers);
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.unwrap_or_else(|_| unreachable!("it is base64")));
    match client_handshake::check(&headers, &key, &offered, &offers) {
        Ok((chosen, _)) => assert!(chosen.is_none_or(|chosen| offered.iter().any(|offer| *offer == chosen))),
        Err(reason) => assert!(!reason.is_empty()),
    }
}

/// Access control: the first line is the target, the others are headers.
pub fn access(data: &[u8]) {
    let (target, lines) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let headers = parse(lines.strip_prefix(b"\n").unwrap_or_default());
    let target = String::from_utf8_lossy(target);
    let proxy = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let stranger = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let trusting = AccessOptions {
        same_origin: true,
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap_or_else(|_| unreachable!("it is a network"))],
        tokens: Some(Secrets::one("let-me-in")),
        ..AccessOptions::default()
    };
    assert_eq!(
        trusting.client_behind(Some(stranger), &headers),
        Some(stranger),
        "X-Forwarded-For of a peer that is not a trusted proxy"
    );
    assert!(trusting.client_behind(Some(proxy), &headers).is_some());
    let _ = trusting.check(&headers, target.split_once('?').map(|(_, query)| query));
    let room = trusting.room(&target);
    assert_eq!(
        room.split_once('?').and_then(|(_, query)| token_of_query(query)),
        None,
        "a token in the name of a room"
    );
    let shown = without_token(&target);
    assert_eq!(shown, without_token(&shown), "hiding twice changes the text");
}
