//! The real binary over real sockets, a file for each capability.

mod bad_arguments;
mod bad_peers;
mod frames;
mod lines;
mod support;
mod tls;
