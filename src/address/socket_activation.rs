//! `tcp-listen-fd:` and `unix-listen-fd:`: listening sockets that the service manager opened and passed to wsplice, as systemd's
//! socket activation does (sd_listen_fds(3)).

use super::{tcp, unix};
use crate::{
    endpoint::{Accept, Bind, Build, ByteEndpoint, Endpoint, Entry, Listening, Listens, ListensAt},
    error::{Error, io_message},
    flow::{BoxFuture, ByteEnd},
    net,
};
use listenfd::ListenFd;
use std::{
    env, io,
    os::fd::AsFd,
    process,
    sync::{LazyLock, Mutex, PoisonError},
};

pub(super) static TCP: Entry = Entry {
    names: &["tcp-listen-fd"],
    arg: Some("FD"),
    summary: "Accept TCP connections on a socket from the service manager",
    details: "FD is the number of the descriptor that the service manager passed (systemd socket activation), 3 for \
              the first, or its name (FileDescriptorName=). The socket unit must set Accept=no.",
    example: "ws-u:tcp-listen-fd:3 mirror:",
    flags: &[&["oneshot", "conncap"]],
    build: Build::Listen(|arg, _| listen(Kind::Tcp, arg), PLAIN),
};

pub(super) static UNIX: Entry = Entry {
    names: &["unix-listen-fd"],
    arg: Some("FD"),
    summary: "Accept connections on a unix socket from the service manager",
    details: "As tcp-listen-fd:, for a unix socket. wsplice does not remove the path of the socket.",
    example: "ws-u:unix-listen-fd:3 mirror:",
    flags: &[&["oneshot", "conncap"]],
    build: Build::Listen(|arg, _| listen(Kind::Unix, arg), PLAIN),
};

#[derive(Clone, Copy)]
enum Kind {
    Tcp,
    Unix,
}

/// Which socket, by the number of its descriptor or by its name.
enum Selector {
    Number(usize),
    Name(String),
}

/// The number of the first descriptor that the service manager passes (`SD_LISTEN_FDS_START`).
const FIRST_DESCRIPTOR: usize = 3;

/// The command line does not say where the socket listens.
const PLAIN: Listens = Listens { at: ListensAt::Descriptor, tls: false, http: false };

fn listen(kind: Kind, arg: &str) -> Result<Endpoint<Listening>, Error> {
    let title = match kind {
        Kind::Tcp => format!("tcp-listen-fd:{arg}"),
        Kind::Unix => format!("unix-listen-fd:{arg}"),
    };
    let which = match arg.parse() {
        Ok(number) if number < FIRST_DESCRIPTOR => {
            return Err(Error::usage_hint(
                format!("invalid address `{title}`: descriptors from the service manager start at {FIRST_DESCRIPTOR}"),
                "3 is the first socket, 4 the second; stdio: is standard input and output",
            ));
        }
        Ok(number) => Selector::Number(number),
        Err(_) => Selector::Name(arg.to_owned()),
    };
    // This removes variables from the environment, which is safe only while there is one thread.
    LazyLock::force(&SOCKETS);
    Ok(ByteEndpoint::listen(title.clone(), Activated { kind, which, title }).into())
}

/// The sockets from the service manager. One value for the process, since a descriptor must have one owner.
static SOCKETS: LazyLock<Mutex<Result<Sockets, Unavailable>>> = LazyLock::new(|| Mutex::new(Sockets::from_env()));

struct Sockets {
    sockets: ListenFd,
    names: Vec<String>,
}

/// Why a socket cannot be used, and a hint.
#[derive(Clone)]
struct Unavailable {
    reason: String,
    hint: &'static str,
}

impl Sockets {
    fn from_env() -> Result<Self, Unavailable> {
        let number = |name: &str| env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
        if number("LISTEN_FDS").is_none_or(|count| count == 0) {
            return Err(Unavailable {
                reason: "the service manager passed no socket (LISTEN_FDS is not set)".into(),
                hint: "use a systemd socket unit, or for a test systemd-socket-activate -l 8080 wsplice …",
            });
        }
        // A program may inherit the variables from its parent without the sockets.
        if number("LISTEN_PID") != Some(process::id()) {
            return Err(Unavailable {
                reason: format!("the sockets are for another process: LISTEN_PID is not {}", process::id()),
                hint: "the program that starts wsplice must exec it, so that the process ID stays the same",
            });
        }
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        Ok(Self { sockets: ListenFd::from_env(), names: names.split(':').map(str::to_owned).collect() })
    }

    fn index(&self, which: &Selector) -> Result<usize, Unavailable> {
        let (index, what) = match which {
            Selector::Number(number) => (Some(number - FIRST_DESCRIPTOR), format!("descriptor {number}")),
            Selector::Name(name) => (self.names.iter().position(|known| known == name), format!("socket named {name}")),
        };
        index.filter(|index| *index < self.sockets.len()).ok_or_else(|| Unavailable {
            reason: format!("there is no {what}; {}", self.list()),
            hint: "FileDescriptorName= in the socket unit names a socket",
        })
    }

    /// Lists the sockets, for errors.
    fn list(&self) -> String {
        let shown = (0..self.sockets.len()).map(|index| match self.names.get(index).map(String::as_str) {
            None | Some("") => (index + FIRST_DESCRIPTOR).to_string(),
            Some(name) => format!("{} ({name})", index + FIRST_DESCRIPTOR),
        });
        format!("passed: {}", shown.collect::<Vec<_>>().join(", "))
    }

    fn take(&mut self, which: &Selector, kind: Kind) -> Result<Box<dyn Accept<ByteEnd>>, Unavailable> {
        let index = self.index(which)?;
        match kind {
            Kind::Tcp => to_listener(self.sockets.take_tcp_listener(index), tcp::from_listening),
            Kind::Unix => to_listener(self.sockets.take_unix_listener(index), unix::from_listening),
        }
        .map_err(|unavailable| Unavailable {
            reason: format!("descriptor {}: {}", index + FIRST_DESCRIPTOR, unavailable.reason),
            ..unavailable
        })
    }
}

/// Makes a listener of a socket that was taken from [`Sockets`].
fn to_listener<L: AsFd>(
    taken: io::Result<Option<L>>,
    make: impl FnOnce(L) -> io::Result<Box<dyn Accept<ByteEnd>>>,
) -> Result<Box<dyn Accept<ByteEnd>>, Unavailable> {
    let socket = taken.map_err(|_| Unavailable {
        reason: "not a socket of this type".into(),
        hint: "tcp-listen-fd: is for ListenStream=PORT, unix-listen-fd: for ListenStream=/PATH",
    })?;
    let socket = socket
        .ok_or_else(|| Unavailable { reason: "already in use".into(), hint: "each socket can be used only once" })?;
    if !net::is_listening(&socket) {
        return Err(Unavailable {
            reason: "not a listening socket".into(),
            hint: "the socket unit must have Accept=no",
        });
    }
    make(socket).map_err(|error| Unavailable { reason: io_message(&error), hint: "" })
}

struct Activated {
    kind: Kind,
    which: Selector,
    title: String,
}

impl Bind<ByteEnd> for Activated {
    fn bind(&self) -> BoxFuture<'_, Result<Box<dyn Accept<ByteEnd>>, Error>> {
        Box::pin(async {
            let mut sockets = SOCKETS.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = match &mut *sockets {
                Ok(sockets) => sockets.take(&self.which, self.kind),
                Err(unavailable) => Err(unavailable.clone()),
            };
            taken.map_err(|Unavailable { reason, hint }| Error::Listen {
                on: self.title.clone(),
                source: io::Error::other(reason),
                hint: (!hint.is_empty()).then(|| hint.to_owned()),
            })
        })
    }
}
