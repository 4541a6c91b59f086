//! The real binary over real sockets, a file for each capability.

mod applicable_options;
mod bad_arguments;
mod bad_peers;
mod children;
#[allow(dead_code, reason = "the other test binaries use the rest")]
#[path = "../common/mod.rs"]
mod common;
mod deflate;
mod devices;
mod endings;
mod fair_share;
mod faults;
mod generated;
mod grammar;
mod handshake;
mod inetd;
mod leaving_early;
mod length_prefixed;
mod lifetime;
mod lines;
mod low_level;
mod max_memory;
mod message_overlays;
mod modules;
mod operations;
mod payloads;
mod pings;
mod programs;
mod proxies;
mod readme;
mod reconnecting;
mod reloading;
mod repeated_options;
mod requests;
mod rooms;
mod rooms_bad_input;
mod rooms_deflate;
mod rooms_limits;
mod rooms_memory;
mod rooms_slow;
mod service_manager;
mod serving;
mod slow_messages;
mod socket_activation;
mod standard_streams;
mod strangers;
mod threads;
mod tls;
mod udp;
mod unchanged_bytes;
mod unix_sockets;
mod visible;
mod waiting_for_replies;
mod websocat_options;
mod wscat;

use common::{certificates, http, peer, raw, support};
