//! The terminal as the system has it: its mode, its size, and its signals.

use super::{link::Link, wake::Wake};
use crate::flow::file_options;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::kill_current_process_group,
    stdio::{stdin, stdout},
    termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};
use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    sync::Arc,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

pub use rustix::process::Signal;

/// Whether this system has what the line editor needs.
pub const IS_SUPPORTED: bool = true;

/// A mode of the terminal.
#[derive(Clone)]
pub struct Mode(Termios);

impl Mode {
    /// The mode that it has.
    ///
    /// # Errors
    /// Standard input is not a terminal any more.
    pub fn current() -> io::Result<Self> {
        Ok(Self(tcgetattr(stdin())?))
    }

    /// The mode in which each key is given at once, and not shown. Line ends of the output stay as they are, for those who write to the
    /// terminal besides us.
    #[must_use]
    pub fn with_keys(self) -> Self {
        let Self(mut mode) = self;
        mode.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        mode.input_modes -= InputModes::ICRNL | InputModes::INLCR | InputModes::IGNCR | InputModes::IXON;
        mode.special_codes[SpecialCodeIndex::VMIN] = 1;
        mode.special_codes[SpecialCodeIndex::VTIME] = 0;
        Self(mode)
    }

    /// Gives the terminal this mode.
    ///
    /// # Errors
    /// Standard input is not a terminal any more.
    pub fn set(&self) -> io::Result<()> {
        Ok(tcsetattr(stdin(), OptionalActions::Now, &self.0)?)
    }
}

/// Columns and rows; `None` if the terminal does not tell.
pub fn size() -> Option<(usize, usize)> {
    let size = tcgetwinsize(stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0)?;
    Some((size.ws_col.into(), size.ws_row.into()))
}

/// Waits for a key, to be woken, or for the time to pass. Returns whether there is a key.
///
/// # Errors
/// The terminal is gone.
pub fn wait(wake: &Wake, most: Option<Duration>, reads_keys: bool) -> io::Result<bool> {
    let timeout = most.map(|most| Timespec { tv_sec: most.as_secs() as _, tv_nsec: most.subsec_nanos() as _ });
    let keys = if reads_keys { PollFlags::IN } else { PollFlags::empty() };
    let mut descriptors = [PollFd::new(wake, PollFlags::IN), PollFd::from_borrowed_fd(stdin(), keys)];
    match poll(&mut descriptors, timeout.as_ref()) {
        Err(Errno::INTR) => return Ok(false),
        polled => polled?,
    };
    wake.clear();
    let [_, keys] = descriptors;
    Ok(!keys.revents().is_empty())
}

/// Reads keys.
///
/// # Errors
/// There are none, or the terminal is gone.
pub fn read(buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(stdin(), buffer)?)
}

/// Writes without the lock of standard output, which a thread may hold that waits for the terminal.
///
/// # Errors
/// The terminal is gone.
pub fn write(bytes: &[u8]) -> io::Result<usize> {
    loop {
        match rustix::io::write(stdout(), bytes) {
            Err(Errno::INTR) => {}
            // Others who use the terminal have made it non-blocking.
            Err(Errno::AGAIN) => _ = poll(&mut [PollFd::from_borrowed_fd(stdout(), PollFlags::OUT)], None),
            written => return Ok(written?),
        }
    }
}

/// Writes with one call, which waits for a terminal that takes nothing.
pub fn write_now(bytes: &[u8]) {
    let _ = rustix::io::write(stdout(), bytes);
}

/// Sends a signal to the processes of this job.
///
/// # Errors
/// The system refuses it.
pub fn raise(signal: Signal) -> io::Result<()> {
    Ok(kill_current_process_group(signal)?)
}

/// Tells the thread of SIGWINCH and SIGCONT.
///
/// # Errors
/// The system refuses it.
pub fn watch_signals(link: &Arc<Link>) -> io::Result<()> {
    let mut resized = signal(SignalKind::window_change())?;
    let mut continued = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    let link = Arc::downgrade(link);
    tokio::spawn(async move {
        loop {
            let is_resized = tokio::select! {
                _ = resized.recv() => true,
                _ = continued.recv() => false,
            };
            match link.upgrade() {
                Some(link) if is_resized => link.resized(),
                Some(link) => link.continued(),
                None => return,
            }
        }
    });
    Ok(())
}

/// A file that other users must not read, and that is not waited for.
pub fn private_file() -> OpenOptions {
    let mut options = file_options::non_blocking();
    options.create(true).mode(0o600);
    options
}

/// A file that was there before may have been readable. If it is another user's, they know what is in it.
pub fn make_private(file: &File) {
    let _ = file.set_permissions(Permissions::from_mode(0o600));
}

/// A folder that other users must not read.
pub fn private_folder() -> DirBuilder {
    let mut folder = DirBuilder::new();
    folder.recursive(true).mode(0o700);
    folder
}
