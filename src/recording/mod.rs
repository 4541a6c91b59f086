//! Sessions as JSON lines, a frame a line, and how they are read again. `--record` writes them and `--jsonl` prints them; `replay:`
//! plays them, and the network panel of a browser that was saved as HAR.

mod frame;
mod har;
mod reader;
mod recorder;

pub use frame::{Frame, Seen, append_line};
pub use reader::{Broken, Part, read};
pub use recorder::Recorder;
