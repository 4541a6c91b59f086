//! Terminals for programs (`--pty`).

use rustix::{
    io::ioctl_fionbio,
    pty::{OpenptFlags, grantpt, openpt, unlockpt},
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
    let ours = openpt(system::FLAGS)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    tcsetwinsize(&ours, SIZE)?;
    let theirs = system::other_side(&ours)?;
    ioctl_fionbio(&ours, true)?;
    Ok((ours, theirs))
}

#[cfg(target_os = "linux")]
mod system {
    use super::{OpenptFlags, OwnedFd, io};
    use rustix::pty::ioctl_tiocgptpeer;

    pub const FLAGS: OpenptFlags = OpenptFlags::RDWR.union(OpenptFlags::NOCTTY).union(OpenptFlags::CLOEXEC);

    pub fn other_side(ours: &OwnedFd) -> io::Result<OwnedFd> {
        Ok(ioctl_tiocgptpeer(ours, FLAGS)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{OpenptFlags, OwnedFd, io};
    use rustix::{
        fs::{Mode, OFlags, open},
        io::{FdFlags, fcntl_setfd},
        pty::ptsname,
    };

    pub const FLAGS: OpenptFlags = OpenptFlags::RDWR.union(OpenptFlags::NOCTTY);

    pub fn other_side(ours: &OwnedFd) -> io::Result<OwnedFd> {
        fcntl_setfd(ours, FdFlags::CLOEXEC)?;
        let name = ptsname(ours, Vec::new())?;
        Ok(open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?)
    }
}
