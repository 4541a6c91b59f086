//! Terminals for programs (`--pty`).

use rustix::{
    io::ioctl_fionbio,
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use std::{io, os::fd::OwnedFd};

/// The size of a terminal that nobody has set, in characters.
const SIZE: Winsize = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };

/// A pseudo-terminal: our side, which is non-blocking, and that of a program.
///
/// # Errors
/// If there are no more of them.
pub fn open() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    tcsetwinsize(&ours, SIZE)?;
    let theirs = ioctl_tiocgptpeer(&ours, flags)?;
    ioctl_fionbio(&ours, true)?;
    Ok((ours, theirs))
}
