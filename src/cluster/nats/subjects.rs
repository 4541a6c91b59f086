//! The subjects of rooms. A room's name may have any bytes and be longer than NATS allows, so its token is encoded.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest;

/// Longest name that is encoded and not hashed. The server's line for a message has at most 4096 bytes, with all of its subjects.
const LONGEST: usize = 256;

/// The subjects of one cluster.
pub struct Subjects {
    /// The stream, which has the cluster's name.
    pub stream: String,
}

impl Subjects {
    pub fn new(name: &str) -> Self {
        Self { stream: name.to_owned() }
    }

    /// Identifies a room.
    pub fn token(room: &[u8]) -> String {
        if room.len() <= LONGEST {
            format!("r{}", URL_SAFE_NO_PAD.encode(room))
        } else {
            format!("h{}", URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, room)))
        }
    }

    /// Where the publications of a room are stored.
    pub fn stored(&self, room: &[u8]) -> String {
        format!("{}.stored.{}", self.stream, Self::token(room))
    }

    /// Where the server repeats them after it has stored them.
    pub fn live(&self, room: &[u8]) -> String {
        format!("{}.live.{}", self.stream, Self::token(room))
    }

    /// A request to JetStream about the stream.
    pub fn api(&self, request: &str) -> String {
        format!("$JS.API.{request}.{}", self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::ROOMS;
    use std::collections::HashSet;

    #[test]
    fn a_room_of_any_name_has_a_subject_of_its_own() {
        let subjects = Subjects::new("chat");
        let long = [vec![b'a'; 10_000], vec![b'b'; 10_000]];
        let rooms = ROOMS.into_iter().chain(long.iter().map(Vec::as_slice)).collect::<Vec<_>>();
        let all = rooms.iter().map(|room| subjects.stored(room)).collect::<HashSet<_>>();
        assert_eq!(all.len(), rooms.len());
        for subject in all {
            let token = subject.strip_prefix("chat.stored.").expect("the prefix");
            assert!(
                !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            );
            assert!(subject.len() < 400);
        }
    }
}
