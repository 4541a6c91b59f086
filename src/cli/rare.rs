//! Options that most command lines do not have. To define one for clap takes 14,000 instructions, and there are so many that this would
//! be most of a short run. So a group of them is defined only if the command line names one of its options.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Id};
use std::{
    cell::RefCell,
    ffi::OsString,
    ops::{Deref, DerefMut},
};

thread_local! {
    static DEFINED: RefCell<Defined> = const { RefCell::new(Defined::All) };
}

/// The groups that are defined.
enum Defined {
    All,
    /// Those that have an option which one of `arguments` names. `groups` are the ones found so far.
    Named {
        arguments: Vec<OsString>,
        groups: Vec<Id>,
    },
}

/// Calls `parse` with those groups only that have an option which one of `arguments` names. If it succeeds, the result is the same as
/// with all groups.
pub fn defining<T>(arguments: Vec<OsString>, parse: impl FnOnce() -> T) -> T {
    DEFINED.set(Defined::Named { arguments, groups: Vec::new() });
    let parsed = parse();
    DEFINED.set(Defined::All);
    parsed
}

/// The arguments that look like options but are not in `command`.
pub fn unknown(command: &Command, arguments: &[OsString]) -> Vec<OsString> {
    let is_known = |argument: &OsString| match argument.as_encoded_bytes() {
        [b'-', b'-', name @ ..] => name.is_empty() || command.get_arguments().any(|option| has_name(option, name)),
        [b'-', letters @ ..] => {
            for letter in letters {
                match command.get_arguments().find(|option| has_letter(option, *letter)) {
                    None => return false,
                    // The rest is its value.
                    Some(option) if option.get_action().takes_values() => break,
                    Some(_) => {}
                }
            }
            true
        }
        _ => true,
    };
    arguments.iter().skip(1).filter(|argument| !is_known(argument)).cloned().collect()
}

/// Whether one of `arguments` may name an option of `command`. A letter may follow others, as in `-tk`.
fn names_one_of(arguments: &[OsString], command: &Command) -> bool {
    let may_name = |argument: &OsString, option: &Arg| match argument.as_encoded_bytes() {
        [b'-', b'-', name @ ..] => has_name(option, name),
        [b'-', letters @ ..] => letters.iter().any(|letter| has_letter(option, *letter)),
        _ => false,
    };
    command.get_arguments().any(|option| arguments.iter().any(|argument| may_name(argument, option)))
}

/// Whether `typed`, which may have a value after `=`, is a long name of the option.
fn has_name(option: &Arg, typed: &[u8]) -> bool {
    let name = typed.split(|byte| *byte == b'=').next().unwrap_or_default();
    let aliases = option.get_all_aliases().unwrap_or_default();
    option.get_long().into_iter().chain(aliases).any(|long| long.as_bytes() == name)
}

fn has_letter(option: &Arg, letter: u8) -> bool {
    let aliases = option.get_all_short_aliases().unwrap_or_default();
    option.get_short().into_iter().chain(aliases).any(|short| short == char::from(letter))
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
        let is_defined = DEFINED.with_borrow_mut(|defined| match defined {
            Defined::All => true,
            Defined::Named { arguments, groups } => {
                let is_named = !arguments.is_empty() && names_one_of(arguments, &T::augment_args(Command::default()));
                groups.extend(T::group_id().filter(|_| is_named));
                is_named
            }
        });
        if is_defined { T::augment_args(command) } else { command }
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
        let is_defined = DEFINED.with_borrow(|defined| match defined {
            Defined::All => true,
            Defined::Named { groups, .. } => T::group_id().is_some_and(|group| groups.contains(&group)),
        });
        if is_defined { T::from_arg_matches(matches).map(Self) } else { Ok(Self(T::default())) }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}
