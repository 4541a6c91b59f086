//! A time limit for writes to peers that do not read. hyper limits only the time to read the head of a request.

use crate::flow::ByteStream;
use std::{mem, pin::Pin, time::Duration};
use tokio::io::empty;
use tokio_io_timeout::TimeoutWriter;

/// A connection that fails if a write, a flush or a shutdown makes no progress within the limit. It is pinned on the heap, since
/// hyper requires connections that are `Unpin`, and the timer is not.
pub type WriteTimeout = Pin<Box<TimeoutWriter<ByteStream>>>;

/// Adds the time limit to a connection.
pub fn limit(io: ByteStream, limit: Duration) -> WriteTimeout {
    let mut limited = TimeoutWriter::new(io);
    limited.set_timeout(Some(limit));
    Box::pin(limited)
}

/// Takes the connection out of its time limit.
pub fn lift(limited: &mut WriteTimeout) -> ByteStream {
    // The connection cannot be moved out of the pin, so replace it with a placeholder, which allocates nothing.
    mem::replace(&mut *limited.as_mut().get_pin_mut(), ByteStream::other(empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use tokio::{
        io::{AsyncWriteExt, duplex},
        time::Instant,
    };

    #[test]
    fn writing_times_out_if_the_peer_does_not_read() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let (near, far) = duplex(10);
            let time_limit = Duration::from_millis(50);
            let mut limited = limit(ByteStream::other(near), time_limit);
            limited.write_all(&[0; 10]).await.expect("there is room");
            let start = Instant::now();
            let error = limited.write_all(&[0; 10]).await.expect_err("nobody reads");
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(start.elapsed() >= time_limit);
            drop(far);
            let error = lift(&mut limited).write_all(&[0]).await.expect_err("it is the same connection");
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        });
    }
}
