//! The real binary over real sockets, a file for each capability.

mod lines;
mod support;
