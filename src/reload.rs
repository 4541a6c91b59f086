//! Values that are made of files, and made anew when the files are to be read again.

use crate::error::Error;
use std::{
    fmt, fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// A value that may be replaced while others use it.
pub struct Reloadable<T>(RwLock<Arc<T>>);

impl<T> Reloadable<T> {
    /// The value that is in use now.
    pub fn current(&self) -> Arc<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

impl<T> From<T> for Reloadable<T> {
    fn from(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }
}

impl<T: fmt::Debug> fmt::Debug for Reloadable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current().fmt(f)
    }
}

/// The values of a run that are made of files.
#[derive(Default)]
pub struct Reloads(Mutex<Vec<Reload>>);

struct Reload {
    files: Vec<PathBuf>,
    reload: Box<dyn Fn() -> Result<(), Error> + Send>,
}

impl Reloads {
    /// Makes a value of these files, now and whenever they are to be read again.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn read<T: Send + Sync + 'static>(
        &self,
        files: Vec<PathBuf>,
        read: impl Fn() -> Result<T, Error> + Send + 'static,
    ) -> Result<Arc<Reloadable<T>>, Error> {
        let value = Arc::new(Reloadable::from(read()?));
        if !files.is_empty() {
            let reloaded = value.clone();
            let reload = Box::new(move || read().map(|value| reloaded.replace(value)));
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Reload { files, reload });
        }
        Ok(value)
    }

    /// Reads all files again. A value whose files cannot be used stays as it is. Gives the files that were read, and why others
    /// cannot be used.
    pub fn reload(&self) -> (Vec<PathBuf>, Vec<Error>) {
        let (mut read, mut failed) = (Vec::new(), Vec::new());
        for Reload { files, reload } in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            match files.iter().try_for_each(is_regular).and_then(|()| reload()) {
                Ok(()) => read.extend_from_slice(files),
                Err(error) => failed.push(error),
            }
        }
        (read, failed)
    }
}

/// A pipe, such as that of a process substitution of the shell, gives its content once. To open it again may wait for ever.
fn is_regular(file: &PathBuf) -> Result<(), Error> {
    match fs::metadata(file) {
        Ok(found) if !found.is_file() => {
            let source = io::Error::other("not a regular file");
            Err(Error::io(format_args!("cannot read {} again", file.display()), source))
        }
        // What else is wrong with it, reading it tells.
        _ => Ok(()),
    }
}
