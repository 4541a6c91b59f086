//! Options that convert the payloads of a WebSocket's messages.

use crate::payload::{Compression, PayloadOptions};
use clap::Args;

/// What is done to the payloads of a WebSocket's messages.
#[derive(Args, Default)]
#[command(next_help_heading = "Payloads of WebSocket messages")]
pub struct PayloadArgs {
    /// Encode received binary messages in base64, and decode binary messages before they are sent: with -b each line of
    /// a byte stream is the base64 of one message, without it those lines that start with --binary-prefix
    #[arg(long, hide_short_help = true)]
    pub base64: bool,
    /// The same for text messages
    #[arg(long, hide_short_help = true)]
    pub base64_text: bool,
    /// Put TEXT in front of each received text message; a message that starts with it is sent as text, without it
    #[arg(long, value_name = "TEXT", hide_short_help = true)]
    pub text_prefix: Option<String>,
    /// Put TEXT in front of each received binary message; a message that starts with it is sent as binary, without it
    #[arg(long, value_name = "TEXT", hide_short_help = true)]
    pub binary_prefix: Option<String>,
    /// Compress the payloads of binary messages before they are sent. Not permessage-deflate, which is --deflate
    #[arg(long, group = "compress", hide_short_help = true)]
    pub compress_gzip: bool,
    /// As --compress-gzip, in the format of zlib
    #[arg(long, group = "compress", hide_short_help = true)]
    pub compress_zlib: bool,
    /// As --compress-gzip, without a header
    #[arg(long, group = "compress", hide_short_help = true)]
    pub compress_deflate: bool,
    /// Uncompress the payloads of received binary messages, up to --max-ws-message-length
    #[arg(long, group = "uncompress", hide_short_help = true)]
    pub uncompress_gzip: bool,
    /// As --uncompress-gzip, in the format of zlib
    #[arg(long, group = "uncompress", hide_short_help = true)]
    pub uncompress_zlib: bool,
    /// As --uncompress-gzip, without a header
    #[arg(long, group = "uncompress", hide_short_help = true)]
    pub uncompress_deflate: bool,
    /// Drop received messages that are empty
    #[arg(long, hide_short_help = true)]
    pub websocket_ignore_zeromsg: bool,
}

impl PayloadArgs {
    /// What the options mean. `max_length`: the longest message in bytes.
    pub fn options(self, max_length: usize) -> PayloadOptions {
        PayloadOptions {
            text_prefix: self.text_prefix,
            binary_prefix: self.binary_prefix,
            base64: self.base64,
            base64_text: self.base64_text,
            compress: format(self.compress_gzip, self.compress_zlib, self.compress_deflate),
            uncompress: format(self.uncompress_gzip, self.uncompress_zlib, self.uncompress_deflate),
            ignore_empty: self.websocket_ignore_zeromsg,
            max_length,
        }
    }
}

fn format(gzip: bool, zlib: bool, deflate: bool) -> Option<Compression> {
    match (gzip, zlib, deflate) {
        (true, _, _) => Some(Compression::Gzip),
        (_, true, _) => Some(Compression::Zlib),
        (_, _, true) => Some(Compression::Deflate),
        _ => None,
    }
}
