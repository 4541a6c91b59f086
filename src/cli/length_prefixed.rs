//! Options of `lengthprefixed:`.

use crate::framing::LengthPrefix;
use clap::Args;
use smart_default::SmartDefault;

/// How `lengthprefixed:` writes lengths.
#[derive(Args, Debug, SmartDefault)]
#[command(next_help_heading = "Text and binary")]
pub struct LengthPrefixedArgs {
    /// Number of bytes of a length of lengthprefixed:, 1 to 8
    #[arg(
        long,
        value_name = "N",
        default_value = "4",
        value_parser = clap::value_parser!(u8).range(1..=8),
        hide_short_help = true
    )]
    #[default(4)]
    pub lengthprefixed_nbytes: u8,
    /// lengthprefixed: writes the least significant byte of a length first
    #[arg(long, hide_short_help = true)]
    pub lengthprefixed_little_endian: bool,
    /// lengthprefixed: expects no lengths in what it reads; each read is a message
    #[arg(long, hide_short_help = true)]
    pub lengthprefixed_skip_read_direction: bool,
    /// lengthprefixed: writes no lengths
    #[arg(long, hide_short_help = true)]
    pub lengthprefixed_skip_write_direction: bool,
    /// lengthprefixed: marks text messages with the most significant bit of the length
    #[arg(long, hide_short_help = true)]
    pub lengthprefixed_tag_text: bool,
}

impl LengthPrefixedArgs {
    /// What the options mean.
    pub fn options(self) -> LengthPrefix {
        LengthPrefix {
            bytes: self.lengthprefixed_nbytes,
            little_endian: self.lengthprefixed_little_endian,
            tag_text: self.lengthprefixed_tag_text,
            skip_read: self.lengthprefixed_skip_read_direction,
            skip_write: self.lengthprefixed_skip_write_direction,
        }
    }
}
