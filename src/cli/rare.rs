//! Options that most command lines do not have. To define one for clap takes 14,000 instructions, and there are so many that this would
//! be half of a short run.

use clap::{ArgMatches, Args, Command, FromArgMatches, Id};
use std::{
    cell::Cell,
    ffi::OsString,
    ops::{Deref, DerefMut},
};

thread_local! {
    static LEFT_OUT: Cell<bool> = const { Cell::new(false) };
}

/// Whether each argument that looks like an option is one of this command. For one that is not, clap's error with its suggestions would
/// take 5 million instructions.
pub fn defines_all(command: &Command, args: &[OsString]) -> bool {
    let is_defined = |arg: &OsString| match arg.as_encoded_bytes() {
        [b'-', b'-', name @ ..] => {
            let name = name.split(|byte| *byte == b'=').next().unwrap_or_default();
            command.get_arguments().any(|option| {
                let aliases = option.get_all_aliases().unwrap_or_default();
                option.get_long().into_iter().chain(aliases).any(|long| long.as_bytes() == name)
            })
        }
        [b'-', letter, ..] => command.get_arguments().any(|option| {
            let aliases = option.get_all_short_aliases().unwrap_or_default();
            option.get_short().into_iter().chain(aliases).any(|short| short == char::from(*letter))
        }),
        _ => true,
    };
    args.iter().skip(1).all(is_defined)
}

/// Calls `parse` with all groups of rare options left out. If it succeeds, the result is the same as with them.
pub fn without<T>(parse: impl FnOnce() -> T) -> T {
    LEFT_OUT.set(true);
    let parsed = parse();
    LEFT_OUT.set(false);
    parsed
}

/// A group of rare options.
#[derive(Debug)]
pub struct Rare<T>(pub T);

impl<T> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Args + Default> Args for Rare<T> {
    fn augment_args(command: Command) -> Command {
        if LEFT_OUT.get() { command } else { T::augment_args(command) }
    }

    fn augment_args_for_update(command: Command) -> Command {
        T::augment_args_for_update(command)
    }

    fn group_id() -> Option<Id> {
        T::group_id()
    }
}

impl<T: Args + Default> FromArgMatches for Rare<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        if LEFT_OUT.get() { Ok(Self(T::default())) } else { T::from_arg_matches(matches).map(Self) }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}
