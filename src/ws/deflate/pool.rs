//! The states of zlib, which are large (see below), shared by all connections of the process.

use flate2::{Compress, Compression, Decompress};
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The most compressors that exist, of about 300 KB each with the largest window.
const COMPRESSORS: usize = 32;
/// The most decompressors that are kept while no message needs them, of about 50 KB each.
const DECOMPRESSORS: usize = 32;

static IDLE: Mutex<Compressors> = Mutex::new(Compressors { idle: Vec::new(), lent: 0 });
static DECOMPRESSING: Mutex<Vec<Decompress>> = Mutex::new(Vec::new());
static OWNERS: AtomicU64 = AtomicU64::new(1);

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Compressors {
    /// The most recently used is the last.
    idle: Vec<Idle>,
    lent: usize,
}

struct Idle {
    kind: Kind,
    owner: Option<u64>,
    compress: Compress,
}

/// Compressors of one kind can replace each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// 1 to 9.
    pub level: u8,
    /// 9 to 15.
    pub bits: u8,
}

/// The identity of a connection. Dropping it makes its context available to others.
pub struct Owner(u64);

impl Owner {
    /// A new connection.
    pub fn new() -> Self {
        Self(OWNERS.fetch_add(1, Relaxed))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut pool = lock(&IDLE);
        pool.idle.iter_mut().filter(|idle| idle.owner == Some(self.0)).for_each(|idle| idle.owner = None);
    }
}

/// A compressor for one message. Dropping it returns it to the pool.
pub struct Compressor {
    kind: Kind,
    owner: Option<u64>,
    /// `None` only while it is being dropped.
    compress: Option<Compress>,
}

impl Compressor {
    /// The owner's compressor with its context if it is still there, else one without context. `None` if all are in use.
    pub fn take(kind: Kind, owner: Option<&Owner>) -> Option<Self> {
        let mut pool = lock(&IDLE);
        let owned = |idle: &Idle| owner.is_some_and(|owner| idle.owner == Some(owner.0));
        let is_full = pool.idle.len() + pool.lent >= COMPRESSORS;
        let at = pool.idle.iter().position(owned);
        let continues = at.is_some();
        let at = at
            .or_else(|| pool.idle.iter().position(|idle| idle.owner.is_none() && idle.kind == kind))
            .or_else(|| pool.idle.iter().position(|idle| is_full && idle.kind == kind));
        let found = match at {
            Some(at) => Some(pool.idle.remove(at)),
            None if !is_full => None,
            None if pool.idle.is_empty() => return None,
            // All are of another kind: the least recently used makes room.
            None => {
                pool.idle.remove(0);
                None
            }
        };
        pool.lent += 1;
        drop(pool);
        let compress = match found {
            Some(Idle { mut compress, .. }) => {
                if !continues {
                    compress.reset();
                }
                compress
            }
            None => Compress::new_with_window_bits(Compression::new(kind.level.into()), false, kind.bits),
        };
        Some(Self { kind, owner: None, compress: Some(compress) })
    }

    /// The state of zlib.
    pub fn state(&mut self) -> &mut Compress {
        let kind = self.kind;
        self.compress.get_or_insert_with(|| {
            Compress::new_with_window_bits(Compression::new(kind.level.into()), false, kind.bits)
        })
    }

    /// Returns it to the pool with its context, for the owner's next message.
    pub fn keep_for(mut self, owner: &Owner) {
        self.owner = Some(owner.0);
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        let mut pool = lock(&IDLE);
        pool.lent -= 1;
        if let Some(compress) = self.compress.take() {
            pool.idle.push(Idle { kind: self.kind, owner: self.owner, compress });
        }
    }
}

/// A decompressor at the start of a stream, for one message.
pub fn take_decompressor() -> Decompress {
    let idle = lock(&DECOMPRESSING).pop();
    match idle {
        Some(mut decompress) => {
            decompress.reset(false);
            decompress
        }
        // The largest window fits, whatever was negotiated.
        None => Decompress::new(false),
    }
}

/// Returns a decompressor to the pool.
pub fn give_back(decompress: Decompress) {
    let mut pool = lock(&DECOMPRESSING);
    if pool.len() < DECOMPRESSORS {
        pool.push(decompress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::FlushCompress;

    fn length(compressor: &mut Compressor, text: &[u8]) -> usize {
        let mut out = Vec::with_capacity(1000);
        compressor.state().compress_vec(text, &mut out, FlushCompress::Sync).expect("compressed");
        out.len()
    }

    #[test]
    fn contexts_are_kept_for_those_who_spoke_last_and_the_number_is_bounded() {
        // A kind of its own, for other tests use the pool too.
        let kind = Kind { level: 7, bits: 9 };
        let text = b"what was said once need not be said again";
        let owners: Vec<Owner> = (0..2 * COMPRESSORS).map(|_| Owner::new()).collect();
        let first: Vec<usize> = owners
            .iter()
            .map(|owner| {
                let mut compressor = Compressor::take(kind, Some(owner)).expect("one of many");
                let length = length(&mut compressor, text);
                compressor.keep_for(owner);
                length
            })
            .collect();
        assert!(lock(&IDLE).idle.len() <= COMPRESSORS);
        let again = |owner: usize| {
            let mut compressor = Compressor::take(kind, Some(&owners[owner])).expect("one of many");
            length(&mut compressor, text)
        };
        assert_eq!(again(0), first[0], "its context made room for others'");
        assert!(again(owners.len() - 1) < first[0] / 2, "the last one's is there");
    }
}
