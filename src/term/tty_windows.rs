//! Windows has consoles, whose keys are not read yet: [`super::is_usable`] is false, and nothing here is called.

use super::{link::Link, wake::Wake};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    sync::Arc,
    time::Duration,
};

/// Whether this system has what the line editor needs.
pub const IS_SUPPORTED: bool = false;

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A mode of the terminal.
#[derive(Clone)]
pub struct Mode;

impl Mode {
    pub fn current() -> io::Result<Self> {
        unsupported()
    }

    #[must_use]
    pub fn with_keys(self) -> Self {
        self
    }

    pub fn set(&self) -> io::Result<()> {
        unsupported()
    }
}

pub fn size() -> Option<(usize, usize)> {
    None
}

pub fn wait(_: &Wake, _: Option<Duration>, _: bool) -> io::Result<bool> {
    unsupported()
}

pub fn read(_: &mut [u8]) -> io::Result<usize> {
    unsupported()
}

pub fn write(_: &[u8]) -> io::Result<usize> {
    unsupported()
}

pub fn write_now(_: &[u8]) {}

/// The signals that Unix has.
#[derive(Clone, Copy)]
pub struct Signal;

impl Signal {
    pub const INT: Self = Self;
    pub const QUIT: Self = Self;
    pub const TSTP: Self = Self;
}

pub fn raise(_: Signal) -> io::Result<()> {
    unsupported()
}

pub fn watch_signals(link: &Arc<Link>) -> io::Result<()> {
    // Unix calls these.
    link.resized();
    link.continued();
    unsupported()
}

pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true);
    options
}

/// Files of a profile are those of its user.
pub fn make_private(_: &File) {}

pub fn private_folder() -> DirBuilder {
    let mut folder = DirBuilder::new();
    folder.recursive(true);
    folder
}
