//! The real binary over real sockets, a file for each capability.

mod endings;
mod frames;
mod generated;
mod lines;
mod readme;
mod serving;
mod support;
