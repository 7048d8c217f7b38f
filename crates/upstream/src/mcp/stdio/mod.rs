//! MCP servers that are programs: one process for each client session, spoken to over its standard streams.
//!
//! Owns the process from its start to the end of its group: lines in and out within bounds, what it writes to stderr as
//! the gateway's log, its death told to everybody who waits. Never starts anything but what the configuration names.
//! The wire above sends by it as by HTTP.

mod inbox;
mod lines;
mod program;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tidegate_core::clock;
use tidegate_protocol::{json, jsonrpc};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStderr, ChildStdin, ChildStdout},
    sync::{Notify, mpsc},
};

pub use self::program::Program;
pub(crate) use self::{inbox::Place, program::StartError};
use self::{
    inbox::{Inbox, Taken},
    lines::Lines,
    program::Counted,
};
use crate::{scrub::scrub, task};

/// The longest line that a program may write.
const LONGEST_LINE: usize = 16 * 1024 * 1024;

/// The longest line of stderr that is logged, and how many in [`LOG_WINDOW`].
const LOGGED: (usize, u32) = (4 * 1024, 100);

/// The window in which lines of stderr are counted.
const LOG_WINDOW: Duration = Duration::from_secs(10);

/// Messages that wait to be written.
const UNWRITTEN: usize = 64;

/// How long a program may take to end after its input has ended, and after it was asked to.
const GRACE: Duration = Duration::from_secs(2);

/// A process in which nothing happens for this long, and for which nobody waits, is ended; it is started anew when it
/// is needed.
const IDLE: Duration = Duration::from_secs(600);

/// A running program. Dropping it ends it, with its whole group.
#[derive(Debug)]
pub(crate) struct Process {
    input: mpsc::Sender<Bytes>,
    inbox: Arc<Inbox>,
    stop: Arc<Notify>,
    gone: Arc<AtomicBool>,
    /// When it last wrote something.
    heard: Arc<Mutex<Instant>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

impl Process {
    /// Starts the program.
    pub(crate) fn start(program: &Arc<Program>, server: &str) -> Result<Self, StartError> {
        let (mut child, counted) = program.start()?;
        let group = Group(child.id());
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
            return Err(StartError::System("its standard streams are missing".to_owned()));
        };
        let (input, lines) = mpsc::channel(UNWRITTEN);
        let (inbox, stop, gone) = (Arc::<Inbox>::default(), Arc::<Notify>::default(), Arc::<AtomicBool>::default());
        tracing::info!(server, program = program.name(), pid = child.id(), "an MCP server was started");
        let heard = Arc::new(Mutex::new(clock::now()));
        let supervisor = Supervisor {
            heard: Arc::clone(&heard),
            program: Arc::clone(program),
            server: Arc::from(server),
            inbox: Arc::clone(&inbox),
            stop: Arc::clone(&stop),
            gone: Arc::clone(&gone),
            started: clock::now(),
            group,
            _counted: counted,
        };
        let _ = task::spawn("an MCP server's process", supervisor.run(child, stdin, stdout, stderr, lines));
        Ok(Self { input, inbox, stop, gone, heard })
    }

    /// Whether it has ended, or is about to.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire) || self.input.is_closed()
    }

    /// Waits for the answer to the request that goes out as `id`.
    pub(crate) fn wait_for(&self, id: i64, request: &Bytes) -> Result<Place, Arc<str>> {
        let message = jsonrpc::read_one(request.clone(), &json::Limits::default()).ok();
        self.inbox.wait_for(id, message.as_ref())
    }

    /// Listens to what belongs to no request.
    pub(crate) fn listen(&self) -> Result<Place, Arc<str>> {
        self.inbox.listen()
    }

    /// Writes one message. False where it has ended.
    pub(crate) async fn write(&self, message: Bytes) -> bool {
        self.input.send(message).await.is_ok()
    }

    /// Ends it where it has written nothing for `silence`, since then it hangs: whoever waits is told.
    pub(crate) fn abandon_if_silent(&self, silence: Duration) {
        if clock::now().saturating_duration_since(*self.heard.lock()) >= silence {
            self.gone.store(true, Ordering::Release);
            self.inbox.end("it has fallen silent and was ended");
            self.stop.notify_one();
        }
    }
}

/// The process group of a child: everything that it started goes with it.
struct Group(Option<u32>);

impl Group {
    fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid
            && let Err(error) = rustix::process::kill_process_group(pid, signal)
            && error != rustix::io::Errno::SRCH
        {
            tracing::debug!(%error, "a process group could not be signalled");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Also where the runtime goes away with the tasks on it.
        self.signal(rustix::process::Signal::KILL);
    }
}

struct Supervisor {
    program: Arc<Program>,
    server: Arc<str>,
    inbox: Arc<Inbox>,
    stop: Arc<Notify>,
    gone: Arc<AtomicBool>,
    heard: Arc<Mutex<Instant>>,
    started: Instant,
    group: Group,
    _counted: Counted,
}

impl Supervisor {
    async fn run(
        self,
        mut child: Child,
        stdin: ChildStdin,
        stdout: ChildStdout,
        stderr: ChildStderr,
        lines: mpsc::Receiver<Bytes>,
    ) {
        let writing = task::spawn("write to an MCP server", write(stdin, lines));
        let program = Arc::clone(&self.program);
        let logging = task::spawn("log an MCP server", log(program, Arc::clone(&self.server), stderr));
        let (why, wanted) = tokio::select! {
            biased;
            () = self.stop.notified() => ("its session has ended".to_owned(), true),
            why = self.read(stdout) => why,
        };
        self.gone.store(true, Ordering::Release);
        self.inbox.end(&why);
        writing.stop();
        let status = self.end(&mut child).await;
        logging.stop();
        if wanted {
            tracing::info!(server = &*self.server, why, status, "an MCP server's process has ended");
        } else {
            tracing::warn!(server = &*self.server, why, status, "an MCP server's process has ended");
            self.program.ended(clock::now().saturating_duration_since(self.started));
        }
    }

    /// Reads messages until there are none; why that is, and whether it was wanted.
    async fn read(&self, mut stdout: ChildStdout) -> (String, bool) {
        let mut lines = Lines::new(LONGEST_LINE);
        let mut piece = vec![0_u8; 64 * 1024];
        let mut spoke = false;
        loop {
            let read = match tokio::time::timeout(IDLE, stdout.read(&mut piece)).await {
                Ok(Ok(0)) => return ("it closed its output".to_owned(), false),
                Ok(Ok(read)) => read,
                Ok(Err(error)) => return (format!("its output could not be read: {error}"), false),
                Err(_) if self.inbox.is_idle() => return ("nothing happened for a while".to_owned(), true),
                Err(_) => continue,
            };
            *self.heard.lock() = clock::now();
            lines.push(piece.get(..read).unwrap_or_default());
            loop {
                match lines.next() {
                    Ok(Some(line)) => {
                        if self.take(line) && !std::mem::replace(&mut spoke, true) {
                            self.program.works();
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return (error.to_string(), false),
                }
            }
        }
    }

    /// Takes one line; says whether it was a message.
    fn take(&self, line: Bytes) -> bool {
        if line.iter().all(u8::is_ascii_whitespace) {
            return false;
        }
        let length = line.len();
        let starts_json = line.first().is_some_and(|first| matches!(first, b'{' | b'['));
        let payload = match jsonrpc::read(line, &json::Limits::default()) {
            Ok(payload) => payload,
            Err(error) => {
                // Programs that print where they should not are common; but what looks like a message may have been
                // the answer that somebody waits for, who is told now rather than after a long silence.
                tracing::warn!(server = &*self.server, length, %error, "a line that is no message was passed over");
                if starts_json {
                    self.inbox.fail(&format!("it wrote a line that is no message: {error}"));
                }
                return false;
            }
        };
        let messages = match payload {
            jsonrpc::Payload::One(message) => vec![message],
            jsonrpc::Payload::Batch(messages) => messages,
        };
        for message in messages {
            if self.inbox.take(message) == Taken::Dropped {
                tracing::debug!(server = &*self.server, "a message that nobody waits for was dropped");
            }
        }
        true
    }

    /// Ends the process and its group: by the end of its input, by a request, by force.
    async fn end(&self, child: &mut Child) -> String {
        for signal in [None, Some(rustix::process::Signal::TERM), Some(rustix::process::Signal::KILL)] {
            if let Some(signal) = signal {
                self.group.signal(signal);
            }
            match tokio::time::timeout(GRACE, child.wait()).await {
                Ok(Ok(status)) => return status.to_string(),
                Ok(Err(error)) => return error.to_string(),
                Err(_) => {}
            }
        }
        "it does not end".to_owned()
    }
}

/// Writes messages, a line each, until there are no more senders or the program reads no more.
async fn write(mut stdin: ChildStdin, mut lines: mpsc::Receiver<Bytes>) {
    while let Some(message) = lines.recv().await {
        let written = async {
            if message.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
                // Between the tokens of JSON only: inside a string they stand escaped.
                let line: Vec<u8> = message.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
                stdin.write_all(&line).await?;
            } else {
                stdin.write_all(&message).await?;
            }
            stdin.write_all(b"\n").await?;
            stdin.flush().await
        };
        if let Err(error) = written.await {
            tracing::debug!(%error, "a program reads no more");
            return;
        }
    }
}

/// Logs what a program writes to stderr, without its secrets, and no more of it than is useful.
async fn log(program: Arc<Program>, server: Arc<str>, mut stderr: impl AsyncRead + Unpin) {
    let mut lines = Lines::new(LOGGED.0);
    let mut piece = vec![0_u8; 4 * 1024];
    let (mut since, mut count) = (clock::now(), 0_u32);
    while let Ok(read @ 1..) = stderr.read(&mut piece).await {
        lines.push(piece.get(..read).unwrap_or_default());
        loop {
            let line = match lines.next() {
                Ok(Some(line)) => String::from_utf8_lossy(&line).into_owned(),
                Ok(None) => break,
                Err(error) => error.to_string(),
            };
            if clock::now().saturating_duration_since(since) >= LOG_WINDOW {
                (since, count) = (clock::now(), 0);
            }
            count = count.saturating_add(1);
            match count.cmp(&LOGGED.1) {
                std::cmp::Ordering::Less => {
                    let secrets: Vec<&str> = program.secrets().iter().map(|secret| secret.expose()).collect();
                    let line = scrub(&line, &secrets).into_owned();
                    tracing::info!(server = &*server, line, "an MCP server wrote to stderr");
                }
                std::cmp::Ordering::Equal => {
                    tracing::info!(server = &*server, "an MCP server writes more to stderr than is logged");
                }
                std::cmp::Ordering::Greater => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
