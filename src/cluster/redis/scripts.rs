//! The scripts, which Redis runs as one step each.

use redis::{RedisError, aio::MultiplexedConnection, pipe};
use std::sync::OnceLock;

/// One of the scripts.
#[derive(Clone, Copy)]
pub enum Script {
    Publish,
    Position,
    Read,
}

const SOURCES: [&str; 3] = [include_str!("publish.lua"), include_str!("position.lua"), include_str!("read.lua")];

/// The hashes by which the server knows them; they depend on the sources only.
#[derive(Default)]
pub struct Scripts([OnceLock<String>; 3]);

impl Scripts {
    /// Loads them into the server.
    ///
    /// # Errors
    /// The server's.
    pub async fn load(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let mut load = pipe();
        for source in SOURCES {
            load.cmd("SCRIPT").arg("LOAD").arg(source);
        }
        let loaded = load.query_async::<[String; 3]>(connection).await?;
        for (sha, loaded) in self.0.iter().zip(loaded) {
            sha.get_or_init(|| loaded);
        }
        Ok(())
    }

    /// The hash of one, empty before they are loaded.
    pub fn sha(&self, script: Script) -> &str {
        let [publish, position, read] = &self.0;
        let sha = match script {
            Script::Publish => publish,
            Script::Position => position,
            Script::Read => read,
        };
        sha.get().map_or("", String::as_str)
    }
}
