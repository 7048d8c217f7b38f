//! Opening the file: its mode, whether it is ours and whole, its version, and each connection's settings. Never
//! repairs anything: a file that is damaged or too new is refused as it is. Called by [`super::Sqlite`].

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig, limits::Limit};

use super::schema;

/// How long a connection waits for a lock that another process holds.
const BUSY: Duration = Duration::from_secs(5);
/// The largest text of one row, in bytes. What is written is far smaller: a damaged length must not take the memory.
const LARGEST_VALUE: i32 = 16 << 20;
/// Files up to this many bytes are checked at every start, since it takes a moment only.
const ALWAYS_CHECKED: u64 = 8 << 20;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system said no.
    #[error("the state file {path} cannot be opened: {source}; check that its folder exists and can be written")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite said no for a reason of the surroundings: permissions, locks, space.
    #[error("the state file {path} cannot be opened: {source}; check its permissions and the space on its disk")]
    Engine {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// It is no SQLite database, or one of another program.
    #[error("{path} is no state file of Tidegate: name another file, or move this one away")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Its content contradicts itself.
    #[error("the state file {path} is damaged ({found}): restore it from a backup, or move it away to start anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first thing that is wrong.
        found: String,
    },
    /// A newer Tidegate wrote it.
    #[error(
        "the state file {path} has schema version {found}, and this Tidegate knows versions up to {known}: run the \
         newer Tidegate that wrote it, or restore a backup from before"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: u32,
        /// The newest version that this build knows.
        known: u32,
    },
    /// The file system cannot share memory between connections, as network file systems cannot.
    #[error("the state file {path} lies on a file system without write-ahead logging: use a local disk")]
    NoWal {
        /// The file.
        path: PathBuf,
    },
    /// The thread that writes could not be started.
    #[error("the thread that writes the state file could not be started: {0}")]
    Thread(io::Error),
}

/// The connection that writes, after every check and migration.
pub(crate) fn writer(path: &Path) -> Result<Connection, OpenError> {
    prepare_file(path)?;
    let unclean = length(&with_suffix(path, "-wal")) > 0;
    let engine = |source| classify(path, source);
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(engine)?;
    if !schema::is_ours(&connection).map_err(engine)? {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let found = schema::version(&connection).map_err(engine)?;
    if found > schema::newest() {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: schema::newest() });
    }
    if unclean || length(path) <= ALWAYS_CHECKED {
        let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(engine)?;
        if found != "ok" {
            return Err(OpenError::Damaged { path: path.to_owned(), found });
        }
    }
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(engine)?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(OpenError::NoWal { path: path.to_owned() });
    }
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;").map_err(engine)?;
    schema::migrate(&mut connection).map_err(engine)?;
    set_synchronous(&connection, Synchronous::Normal).map_err(engine)?;
    Ok(connection)
}

/// A connection that only reads. The writer's must be open.
pub(crate) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// How much a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Synchronous {
    /// Until the operating system has it: survives the end of the process, maybe not the end of the machine.
    Normal,
    /// Until the disk has it.
    Full,
}

/// Takes effect from the next transaction on; must not be called within one.
pub(crate) fn set_synchronous(connection: &Connection, level: Synchronous) -> rusqlite::Result<()> {
    connection.execute_batch(match level {
        Synchronous::Normal => "PRAGMA synchronous = NORMAL",
        Synchronous::Full => "PRAGMA synchronous = FULL",
    })
}

fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    // Never SQLITE_OPEN_URI: a path is a path, whatever characters it has.
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LARGEST_VALUE)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.execute_batch("PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;")?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Makes the file where there is none, readable by its owner alone; SQLite gives its side files the same mode.
fn prepare_file(path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(file) => {
            file.sync_all().map_err(failed)?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            return fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed);
        }
        Err(problem) if problem.kind() == io::ErrorKind::AlreadyExists => {}
        Err(problem) => return Err(failed(problem)),
    }
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is no regular file")));
    }
    for file in [path.to_owned(), with_suffix(path, "-wal"), with_suffix(path, "-shm")] {
        match fs::metadata(&file) {
            Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).map_err(failed)?;
            }
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn classify(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, found: source.to_string() },
        _ => OpenError::Engine { path, source },
    }
}
