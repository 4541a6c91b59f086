//! The real binary over real sockets, a file for each capability.

mod endings;
mod frames;
mod grammar;
mod handshake;
mod lines;
mod serving;
mod support;
mod visible;
