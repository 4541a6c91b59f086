//! The names of keys and channels. A cluster's name has no colon, so no two clusters and no two rooms share one.

use bytes::Bytes;

/// The keys and channels of one cluster.
pub struct Keys {
    name: String,
    channel: Vec<u8>,
}

impl Keys {
    /// Those of the cluster with this name. Channels are the same for all databases of a server, so theirs have the number.
    pub fn new(name: &str, database: u32) -> Self {
        Self { name: name.to_owned(), channel: format!("{name}:{database}:channel:").into_bytes() }
    }

    /// Tells whether the data is still that of the first node.
    pub fn epoch(&self) -> String {
        format!("{}:epoch", self.name)
    }

    /// The epoch, the sequence and the marks of a room.
    pub fn state(&self, room: &[u8]) -> Vec<u8> {
        self.of_room("state", room)
    }

    /// The publications of a room.
    pub fn stream(&self, room: &[u8]) -> Vec<u8> {
        self.of_room("stream", room)
    }

    /// The last batch of a node in a room.
    pub fn last_batch(&self, node: u64, room: &[u8]) -> Vec<u8> {
        self.of_room(&format!("last:{node:016x}"), room)
    }

    /// The channel of a room.
    pub fn channel(&self, room: &[u8]) -> Vec<u8> {
        [&self.channel, room].concat()
    }

    /// The room of a channel.
    pub fn room(&self, channel: Vec<u8>) -> Option<Bytes> {
        channel.starts_with(&self.channel).then(|| Bytes::from(channel).split_off(self.channel.len()))
    }

    fn of_room(&self, kind: &str, room: &[u8]) -> Vec<u8> {
        [self.name.as_bytes(), b":", kind.as_bytes(), b":", room].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_names_any_room_and_no_other_cluster_s() {
        let keys = Keys::new("chat", 2);
        for room in [&b"/"[..], b"/a:b\0\xff\r\n", b""] {
            assert_eq!(keys.room(keys.channel(room)).as_deref(), Some(room));
        }
        assert_eq!(keys.room(Keys::new("chat", 3).channel(b"/")), None);
        assert_eq!(keys.room(Keys::new("cha", 2).channel(b"/")), None);
        assert_eq!(keys.room(b"cha".to_vec()), None);
    }
}
