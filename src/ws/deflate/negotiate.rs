//! Negotiation of permessage-deflate (RFC 7692 sections 5 and 7.1), without I/O.

use super::header::{Extension, parse};
use crate::ws::{DeflateOptions, Offer, Role};

/// The extension's name.
const NAME: &str = "permessage-deflate";
const SERVER_NO_CONTEXT: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";
/// The largest window, and the default: 2^15 bytes.
const MAX_BITS: u8 = 15;

/// The negotiated parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    server: WindowParams,
    client: WindowParams,
}

/// How one side compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowParams {
    /// The size of its window, 8 to 15: 2^N bytes.
    pub bits: u8,
    /// Messages may refer to earlier ones.
    pub keeps_context: bool,
}

impl Agreed {
    /// How `role` may compress.
    pub fn sending(&self, role: Role) -> WindowParams {
        match role {
            Role::Client => self.client,
            Role::Server => self.server,
        }
    }

    /// How the peer of `role` compresses.
    pub fn receiving(&self, role: Role) -> WindowParams {
        match role {
            Role::Client => self.server,
            Role::Server => self.client,
        }
    }
}

/// The parameters of permessage-deflate, each valid and at most once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_context: bool,
    client_no_context: bool,
    server_bits: Option<u8>,
    /// An offer may have it without a value.
    client_bits: Option<Option<u8>>,
}

impl Parameters {
    /// The parameters of an extension. The error says what is wrong with them.
    fn of(extension: &Extension) -> Result<Self, String> {
        let mut found = Self::default();
        for (name, value) in &extension.parameters {
            let wrong = || format!("the value of `{name}` is wrong");
            let bits = || match value.as_deref() {
                Some("8") => Ok(8),
                Some("9") => Ok(9),
                Some(ten @ ("10" | "11" | "12" | "13" | "14" | "15")) => ten.parse().map_err(|_| wrong()),
                _ => Err(wrong()),
            };
            let flag = || if value.is_none() { Ok(true) } else { Err(wrong()) };
            let is_repeated = match name.as_str() {
                SERVER_NO_CONTEXT => std::mem::replace(&mut found.server_no_context, flag()?),
                CLIENT_NO_CONTEXT => std::mem::replace(&mut found.client_no_context, flag()?),
                SERVER_BITS => found.server_bits.replace(bits()?).is_some(),
                CLIENT_BITS => {
                    let bits = if value.is_some() { Some(bits()?) } else { None };
                    found.client_bits.replace(bits).is_some()
                }
                _ => return Err(format!("there is no parameter `{name}`")),
            };
            if is_repeated {
                return Err(format!("`{name}` is given twice"));
            }
        }
        Ok(found)
    }
}

impl From<Parameters> for Extension {
    fn from(parameters: Parameters) -> Self {
        let Parameters { server_no_context, client_no_context, server_bits, client_bits } = parameters;
        let flag = |is_set: bool, name: &str| is_set.then(|| (name.to_owned(), None));
        let parameters = [
            flag(server_no_context, SERVER_NO_CONTEXT),
            flag(client_no_context, CLIENT_NO_CONTEXT),
            server_bits.map(|bits| (SERVER_BITS.to_owned(), Some(bits.to_string()))),
            client_bits.map(|bits| (CLIENT_BITS.to_owned(), bits.map(|bits| bits.to_string()))),
        ];
        Self { name: NAME.into(), parameters: parameters.into_iter().flatten().collect() }
    }
}

/// The server's side: accepts the first acceptable offer in the headers of the request. Returns the header of the answer too.
///
/// A window of 8 bits is accepted though zlib does not support it: our messages are not compressed then.
pub fn accept<'a>(headers: impl IntoIterator<Item = &'a [u8]>, options: &DeflateOptions) -> Option<(Agreed, String)> {
    if !options.accepts {
        return None;
    }
    let offers = parse(headers)?;
    let offer = offers.iter().filter(|offer| offer.name == NAME).find_map(|offer| Parameters::of(offer).ok())?;
    let own_bits = offer.server_bits.unwrap_or(MAX_BITS).min(options.window_bits);
    let hint = offer.client_bits.map(|bits| bits.unwrap_or(MAX_BITS));
    let answer = Parameters {
        server_no_context: offer.server_no_context || options.no_context,
        // So no window has to be kept for an idle client.
        client_no_context: true,
        server_bits: (offer.server_bits.is_some() || own_bits < MAX_BITS).then_some(own_bits),
        // Only a client that offers the parameter supports it.
        client_bits: hint.filter(|hint| *hint > options.window_bits).map(|_| Some(options.window_bits)),
    };
    let agreed = Agreed {
        server: WindowParams { bits: own_bits, keeps_context: !answer.server_no_context },
        client: WindowParams {
            bits: hint.map_or(MAX_BITS, |hint| hint.min(options.window_bits)),
            keeps_context: false,
        },
    };
    Some((agreed, Extension::from(answer).to_string()))
}

/// The client's side: what it offers, and whether an answer is valid.
#[derive(Debug)]
pub struct Offers {
    offers: Vec<Parameters>,
    /// An answer without permessage-deflate is an error.
    is_required: bool,
}

impl Offers {
    /// Our own offer, and the header for it if there is one.
    pub fn ours(options: &DeflateOptions) -> (Self, Option<String>) {
        let limit = Some(options.window_bits).filter(|bits| *bits < MAX_BITS);
        let offer = Parameters {
            server_no_context: options.no_context,
            client_no_context: options.no_context,
            server_bits: limit,
            client_bits: Some(limit),
        };
        if options.offer != Offer::Never {
            let header = Extension::from(offer).to_string();
            (Self { offers: vec![offer], is_required: options.offer == Offer::Required }, Some(header))
        } else {
            (Self { offers: Vec::new(), is_required: false }, None)
        }
    }

    /// The offers in headers that the user gave.
    pub fn written<'a>(headers: impl IntoIterator<Item = &'a [u8]>, options: &DeflateOptions) -> Self {
        let members = parse(headers).unwrap_or_default();
        let deflate = members.iter().filter(|member| member.name == NAME);
        Self {
            offers: deflate.filter_map(|offer| Parameters::of(offer).ok()).collect(),
            is_required: options.offer == Offer::Required,
        }
    }

    /// The parameters in the headers of an answer.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer.
    pub fn check<'a>(&self, headers: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Agreed>, String> {
        let members = parse(headers).ok_or("its Sec-WebSocket-Extensions cannot be read")?;
        match &members[..] {
            [] => Ok(None),
            [extension] if extension.name != NAME || self.offers.is_empty() => {
                Err(format!("extension `{extension}`, which was not offered"))
            }
            [extension] => {
                let answer = Parameters::of(extension);
                let agreed = answer.and_then(|answer| {
                    let mut verdicts = self.offers.iter().map(|offer| fit(offer, &answer));
                    let first = verdicts.next().unwrap_or(Err(String::new()));
                    first.or_else(|reason| verdicts.find_map(Result::ok).ok_or(reason))
                });
                agreed.map(Some).map_err(|reason| format!("extension `{extension}`: {reason}"))
            }
            _ => Err("with more extensions than were offered".into()),
        }
    }

    /// Whether an answer without permessage-deflate is an error.
    pub fn is_required(&self) -> bool {
        self.is_required
    }
}

/// The negotiated parameters if the answer is valid for this offer (RFC 7692 section 7.1).
fn fit(offer: &Parameters, answer: &Parameters) -> Result<Agreed, String> {
    if offer.server_no_context && !answer.server_no_context {
        return Err(format!("`{SERVER_NO_CONTEXT}` was asked for"));
    }
    let server_bits = match (offer.server_bits, answer.server_bits) {
        (Some(limit), Some(bits)) if bits <= limit => bits,
        (Some(limit), _) => return Err(format!("`{SERVER_BITS}` of at most {limit} was asked for")),
        (None, bits) => bits.unwrap_or(MAX_BITS),
    };
    let hint = offer.client_bits.map(|bits| bits.unwrap_or(MAX_BITS));
    let client_bits = match (hint, answer.client_bits) {
        (None, Some(_)) => return Err(format!("`{CLIENT_BITS}` was not offered")),
        (_, Some(None)) => return Err(format!("`{CLIENT_BITS}` has no value")),
        (Some(hint), Some(Some(bits))) => bits.min(hint),
        (hint, None) => hint.unwrap_or(MAX_BITS),
    };
    Ok(Agreed {
        server: WindowParams { bits: server_bits, keeps_context: !answer.server_no_context },
        client: WindowParams {
            bits: client_bits,
            keeps_context: !(answer.client_no_context || offer.client_no_context),
        },
    })
}

#[cfg(test)]
mod tests;
