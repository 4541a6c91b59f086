//! Options of overlays that convert messages, or decide where they go.

use super::values;
use crate::config::MessageOptions;
use clap::Args;
use smart_default::SmartDefault;

/// Options of overlays on messages.
#[derive(Args, Debug, SmartDefault)]
#[command(next_help_heading = "Messages")]
pub struct MessageArgs {
    /// Send TEXT to ADDR2 as the first message of each connection, also of each one that autoreconnect: opens; may be
    /// repeated
    #[arg(short = 'p', long, value_name = "TEXT")]
    pub preamble: Vec<String>,
    /// The same for ADDR1
    #[arg(short = 'P', long, value_name = "TEXT")]
    pub preamble_reverse: Vec<String>,
    /// Copy at most N messages from ADDR1 to ADDR2, as if the input ended then. A connection is read further, to the end,
    /// and what comes is dropped
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_messages: Option<u64>,
    /// The same from ADDR2 to ADDR1. The session ends when nothing is copied in the other direction either
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_messages_rev: Option<u64>,
    /// Turn each message from ADDR1 into a JSON-RPC 2.0 request: the first word is the method, the rest its parameters;
    /// same as jsonrpc: in front of ADDR1
    #[arg(long)]
    pub jsonrpc: bool,
    /// Leave the field "jsonrpc" out of requests of --jsonrpc and jsonrpc:, as Chromium's DevTools want it
    #[arg(long, hide_short_help = true)]
    pub jsonrpc_omit_jsonrpc: bool,
    /// timestamp: counts from the start of the session instead of 1970
    #[arg(long, hide_short_help = true)]
    pub timestamp_monotonic: bool,
    /// foreachmsg: waits for replies to a message until the connection for it ends, however long that takes
    #[arg(long, hide_short_help = true)]
    pub foreachmsg_wait_read: bool,
    /// The byte at which exit_on_specific_byte: ends the input, a number from 0 to 255. Default: 28, which is Ctrl and
    /// backslash
    #[arg(
        long,
        value_name = "BYTE",
        value_parser = values::byte,
        default_value = "28",
        hide_default_value = true,
        hide_short_help = true
    )]
    #[default(28)]
    pub byte_to_exit_on: u8,
    /// reuse-raw: sends an empty message when one of its sessions ends
    #[arg(long, hide_short_help = true)]
    pub reuser_send_zero_msg_on_disconnect: bool,
}

impl MessageArgs {
    /// What the options mean.
    pub fn options(self) -> MessageOptions {
        MessageOptions {
            preamble: [self.preamble_reverse, self.preamble],
            jsonrpc: self.jsonrpc,
            jsonrpc_version: !self.jsonrpc_omit_jsonrpc,
            monotonic_timestamps: self.timestamp_monotonic,
            foreachmsg_waits: self.foreachmsg_wait_read,
            exit_byte: self.byte_to_exit_on,
            reports_leaving: self.reuser_send_zero_msg_on_disconnect,
        }
    }
}
