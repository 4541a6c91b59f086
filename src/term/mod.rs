//! The interactive terminal, an end of messages: a prompt with line editing and history, messages above it, and `/` commands.
//!
//! A thread of its own reads the keys and writes to the terminal. The session hands it what arrives and never waits for it.

mod command;
mod complete;
mod editor;
#[cfg(feature = "jq")]
mod filter;
mod history;
mod json;
mod keys;
mod link;
mod mode;
mod progress;
mod screen;
mod stream;
mod style;
#[cfg_attr(windows, path = "tty_windows.rs")]
mod tty;
mod view;
#[cfg_attr(windows, path = "wake_windows.rs")]
#[cfg_attr(all(unix, not(target_os = "linux")), path = "wake_portable.rs")]
mod wake;

pub use mode::restore;
pub use progress::{Counts, Tracked, is_visible as shows_progress};
pub use screen::Settings;
pub use stream::open;
pub use style::Style;
pub use view::View;

use std::{
    env,
    io::{IsTerminal, stdin, stdout},
};

/// Whether standard input and output are a terminal on which a line can be edited.
pub fn is_usable() -> bool {
    let is_dumb = || env::var_os("TERM").is_none_or(|name| name.is_empty() || name == "dumb");
    tty::IS_SUPPORTED && stdin().is_terminal() && stdout().is_terminal() && !is_dumb()
}
