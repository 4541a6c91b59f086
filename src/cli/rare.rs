//! Options that most command lines do not have. To define one for clap takes 14,000 instructions, and there are so many that this would
//! be half of a short run.

use clap::{ArgMatches, Args, Command, FromArgMatches, Id};
use std::{
    cell::Cell,
    ops::{Deref, DerefMut},
};

thread_local! {
    static LEFT_OUT: Cell<bool> = const { Cell::new(false) };
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
