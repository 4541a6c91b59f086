//! The real binary over real sockets, a file for each capability.

mod bad_arguments;
mod bad_peers;
mod deflate;
mod endings;
mod generated;
mod grammar;
mod handed_over;
mod handshake;
mod lines;
mod modules;
mod peer;
mod raw;
mod readme;
mod rooms;
mod rooms_bad_input;
mod rooms_deflate;
mod rooms_limits;
mod rooms_slow;
mod serving;
mod slow_messages;
mod support;
mod tls;
mod visible;
