//! The real binary over real sockets, a file for each capability.

mod generated;
mod lines;
mod readme;
mod support;
