//! Windows has no service manager of this kind.

pub enum NotifySocket {}

impl NotifySocket {
    pub fn from_env() -> Option<Self> {
        None
    }

    pub fn send(&self, _: &[u8]) {
        match *self {}
    }
}

pub fn now() -> i64 {
    0
}
