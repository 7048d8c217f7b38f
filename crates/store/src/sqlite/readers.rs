//! The connections that read: a few, made when needed, so that reports neither wait for writes nor for one another.
//! Called by the ports' methods that read; never writes.

use std::path::PathBuf;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::{failure::Failure, open};

/// The most reports at the same time; others wait for their turn.
const MOST: usize = 4;

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    lent: usize,
    closed: bool,
}

pub(crate) struct Readers {
    path: PathBuf,
    pool: Mutex<Pool>,
    returned: Condvar,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, pool: Mutex::default(), returned: Condvar::new() }
    }

    /// Runs `work` on a connection that sees everything committed so far.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut lent = self.lend()?;
        let connection = match lent.connection.take() {
            Some(connection) => connection,
            None => open::reader(&self.path)?,
        };
        work(lent.connection.insert(connection))
    }

    fn lend(&self) -> Result<Lent<'_>, Failure> {
        let mut pool = self.pool.lock();
        self.returned.wait_while(&mut pool, |pool| !pool.closed && pool.lent >= MOST);
        if pool.closed {
            return Err(Failure::Closed);
        }
        pool.lent = pool.lent.saturating_add(1);
        Ok(Lent { readers: self, connection: pool.idle.pop() })
    }

    /// Closes what is idle now, and the rest as it is returned.
    pub(crate) fn close(&self) {
        let mut pool = self.pool.lock();
        pool.closed = true;
        let idle = std::mem::take(&mut pool.idle);
        drop(pool);
        drop(idle);
        self.returned.notify_all();
    }
}

/// A place among the readers, given back when it is dropped.
struct Lent<'readers> {
    readers: &'readers Readers,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut pool = self.readers.pool.lock();
        pool.lent = pool.lent.saturating_sub(1);
        if !pool.closed
            && let Some(connection) = self.connection.take()
        {
            pool.idle.push(connection);
        }
        drop(pool);
        self.readers.returned.notify_one();
    }
}
