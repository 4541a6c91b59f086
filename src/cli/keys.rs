//! Options that print a key of the opening handshake instead of connecting.

use crate::{
    error::Error,
    ws::{derive_accept_key, generate_key, is_request_key},
};
use clap::Args;

/// Keys of the opening handshake.
#[derive(Args, Default)]
#[command(next_help_heading = "WebSocket client")]
pub struct KeyArgs {
    /// Print a random Sec-WebSocket-Key, and exit
    #[arg(long, exclusive = true, hide_short_help = true)]
    pub just_generate_key: bool,
    /// Print the Sec-WebSocket-Accept that belongs to a Sec-WebSocket-Key, and exit
    #[arg(long, value_name = "KEY", exclusive = true, hide_short_help = true)]
    pub just_generate_accept: Option<String>,
}

impl KeyArgs {
    /// The key to print; `None` if no option asks for one.
    ///
    /// # Errors
    /// [`Error::Usage`] if the given key is not one.
    pub fn generated(&self) -> Result<Option<String>, Error> {
        match &self.just_generate_accept {
            Some(key) if is_request_key(key.as_bytes()) => Ok(Some(derive_accept_key(key.as_bytes()))),
            Some(key) => Err(Error::usage_hint(
                format!("`{key}` is not a Sec-WebSocket-Key: 16 bytes in base64"),
                "--just-generate-key prints one",
            )),
            None => Ok(self.just_generate_key.then(generate_key)),
        }
    }
}
