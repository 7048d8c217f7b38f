//! What is in the gateway's own files, and the lines of its batches: a folder of encrypted files.
//!
//! Owns the folder. An uploaded file is a row of sealed pieces and a sealed end; what has no end is no file. The log of a
//! batch is a row of notes, each synced before it counts; a note that a crash left half written is cut off. Every piece
//! is bound to its file and its place there, so that none can be put elsewhere. Every call blocks on the disk.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use tidegate_audit::seal::{SEAL, Sealer};
use tidegate_core::batches::{
    BatchId, BatchStoreError, ContentStore, Draft, FileId, LineLog, LineNote, LineState, OpenedLog, Pieces,
};

/// The largest piece as it lies in a file, in bytes.
const LARGEST: usize = (64 << 20) + SEAL;

/// The folder.
#[derive(Debug)]
pub struct Contents {
    folder: PathBuf,
    sealer: Sealer,
}

fn failed(path: &Path) -> impl Fn(io::Error) -> BatchStoreError + use<> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    move |error| BatchStoreError(format!("cannot use the file {name}: {error}"))
}

fn damaged(path: &Path) -> BatchStoreError {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    BatchStoreError(format!("finds the file {name} changed, or written with another key"))
}

impl Contents {
    /// Opens the folder, or makes it with mode 0700.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn open(folder: impl Into<PathBuf>, sealer: Sealer) -> Result<Self, BatchStoreError> {
        let folder = folder.into();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed(&folder))?;
        Ok(Self { folder, sealer })
    }

    fn file(&self, id: FileId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    fn lines_of(&self, batch: BatchId) -> PathBuf {
        self.folder.join(format!("{batch}.lines"))
    }

    fn remove(&self, path: &Path) -> Result<(), BatchStoreError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path)(error)),
            _ => Ok(()),
        }
    }
}

/// Syncs the folder, so that a name outlives a crash.
fn sync_folder(folder: &Path) -> Result<(), BatchStoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))
}

/// Where a piece belongs: its file, its number there, and whether it is the end.
fn place(name: &str, number: u64, last: bool) -> Vec<u8> {
    format!("{name}\n{number}\n{last}").into_bytes()
}

struct Drafted {
    file: Option<File>,
    sealer: Sealer,
    draft: PathBuf,
    path: PathBuf,
    name: String,
    next: u64,
}

impl Drafted {
    fn put(&mut self, piece: &[u8], last: bool) -> Result<(), BatchStoreError> {
        let failed = failed(&self.path);
        let sealed = self
            .sealer
            .seal(&place(&self.name, self.next, last), piece)
            .map_err(|error| failed(io::Error::other(error)))?;
        let length = u32::try_from(sealed.len()).map_err(|error| failed(io::Error::other(error)))?;
        let file = self.file.as_mut().ok_or_else(|| failed(io::Error::other("it is finished")))?;
        file.write_all(&length.to_le_bytes()).and_then(|()| file.write_all(&sealed)).map_err(failed)?;
        self.next = self.next.saturating_add(1);
        Ok(())
    }
}

impl Draft for Drafted {
    fn add(&mut self, piece: &[u8]) -> Result<(), BatchStoreError> {
        self.put(piece, false)
    }

    fn finish(mut self: Box<Self>) -> Result<(), BatchStoreError> {
        self.put(&[], true)?;
        let Some(file) = self.file.take() else { return Ok(()) };
        let done = file.sync_all().and_then(|()| fs::rename(&self.draft, &self.path));
        if done.is_err() {
            self.file = Some(file);
        }
        done.map_err(failed(&self.path))?;
        sync_folder(self.path.parent().unwrap_or(Path::new(".")))
    }
}

impl Drop for Drafted {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What is left of it is swept at the next start.
            let _ = fs::remove_file(&self.draft);
        }
    }
}

struct Uploaded {
    file: BufReader<File>,
    sealer: Sealer,
    path: PathBuf,
    name: String,
    next: u64,
    ended: bool,
}

impl Pieces for Uploaded {
    fn next(&mut self) -> Result<Option<Vec<u8>>, BatchStoreError> {
        if self.ended {
            return Ok(None);
        }
        let failed = failed(&self.path);
        let mut head = [0_u8; 4];
        self.file.read_exact(&mut head).map_err(&failed)?;
        let sealed = sized(&mut self.file, u32::from_le_bytes(head)).map_err(&failed)?;
        let sealed = sealed.ok_or_else(|| damaged(&self.path))?;
        let number = self.next;
        self.next = self.next.saturating_add(1);
        if let Ok(piece) = self.sealer.open(&place(&self.name, number, false), &sealed) {
            return Ok(Some(piece));
        }
        self.sealer.open(&place(&self.name, number, true), &sealed).map_err(|_| damaged(&self.path))?;
        self.ended = true;
        Ok(None)
    }
}

/// So many bytes; `None` where that is more than any piece has.
fn sized(from: &mut impl io::Read, length: u32) -> io::Result<Option<Vec<u8>>> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > LARGEST {
        return Ok(None);
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

/// A note's head: state, line, and the length of what is sealed.
const HEAD: usize = 9;

fn code(state: LineState) -> u8 {
    match state {
        LineState::Begun => b'b',
        LineState::Withdrawn => b'w',
        LineState::Answered => b'a',
        LineState::Failed => b'f',
    }
}

fn state_of(code: u8) -> Option<LineState> {
    Some(match code {
        b'b' => LineState::Begun,
        b'w' => LineState::Withdrawn,
        b'a' => LineState::Answered,
        b'f' => LineState::Failed,
        _ => return None,
    })
}

/// Where a note belongs: its log, the place in it, its line and its state.
fn note_place(name: &str, at: u64, line: u32, state: LineState) -> Vec<u8> {
    format!("{name}\n{at}\n{line}\n{}", char::from(code(state))).into_bytes()
}

struct Notes {
    file: File,
    sealer: Sealer,
    path: PathBuf,
    name: String,
    /// Where the log ends. What lies behind it was written in part.
    end: u64,
    /// Whether something may lie behind the end.
    frayed: bool,
}

impl Notes {
    fn cut(&mut self) -> io::Result<()> {
        if self.frayed {
            self.file.set_len(self.end)?;
            self.frayed = false;
        }
        self.file.seek(SeekFrom::Start(self.end)).map(drop)
    }
}

impl LineLog for Notes {
    fn add(&mut self, notes: &[LineNote]) -> Result<(), BatchStoreError> {
        let failed = failed(&self.path);
        self.cut().map_err(&failed)?;
        let mut bytes = Vec::new();
        for note in notes {
            let at = self.end.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            let place = note_place(&self.name, at, note.line, note.state);
            let sealed = self.sealer.seal(&place, &note.text).map_err(|error| failed(io::Error::other(error)))?;
            let length = u32::try_from(sealed.len()).ok().filter(|_| sealed.len() <= LARGEST);
            let length = length.ok_or_else(|| failed(io::Error::other("an answer is too large to be kept")))?;
            bytes.push(code(note.state));
            bytes.extend_from_slice(&note.line.to_le_bytes());
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&sealed);
        }
        self.frayed = true;
        self.file.write_all(&bytes).and_then(|()| self.file.sync_data()).map_err(failed)?;
        self.frayed = false;
        self.end = self.end.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }
}

/// Reads notes one after the other.
struct Reading {
    file: BufReader<File>,
    sealer: Sealer,
    path: PathBuf,
    name: String,
    at: u64,
    length: u64,
}

impl Reading {
    fn open(path: &Path, name: String, sealer: &Sealer) -> Result<Self, BatchStoreError> {
        let file = File::open(path).map_err(failed(path))?;
        let length = file.metadata().map_err(failed(path))?.len();
        Ok(Self { file: BufReader::new(file), sealer: sealer.clone(), path: path.to_owned(), name, at: 0, length })
    }

    /// The next note; `None` at the end, and where the rest is a note that was written in part.
    fn note(&mut self) -> Result<Option<LineNote>, BatchStoreError> {
        let failed = failed(&self.path);
        let left = self.length.saturating_sub(self.at);
        let head_length = u64::try_from(HEAD).unwrap_or(u64::MAX);
        if left < head_length {
            return Ok(None);
        }
        let mut head = [0_u8; HEAD];
        self.file.read_exact(&mut head).map_err(&failed)?;
        let [state, a, b, c, d, e, f, g, h] = head;
        let (line, length) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let whole = head_length.saturating_add(u64::from(length));
        if whole > left {
            return Ok(None);
        }
        // Space that was set aside and never written reads as zeros.
        let Some(state) = state_of(state) else { return self.torn(head == [0; HEAD]) };
        let sealed = sized(&mut self.file, length).map_err(&failed)?.ok_or_else(|| damaged(&self.path))?;
        let place = note_place(&self.name, self.at, line, state);
        match self.sealer.open(&place, &sealed) {
            Ok(text) => {
                self.at = self.at.saturating_add(whole);
                Ok(Some(LineNote { line, state, text }))
            }
            // The last one was on its way when the power went.
            Err(_) => self.torn(whole == left),
        }
    }

    fn torn(&self, at_the_end: bool) -> Result<Option<LineNote>, BatchStoreError> {
        if at_the_end { Ok(None) } else { Err(damaged(&self.path)) }
    }
}

struct Lines {
    reading: Reading,
    state: LineState,
}

impl Pieces for Lines {
    fn next(&mut self) -> Result<Option<Vec<u8>>, BatchStoreError> {
        while let Some(mut note) = self.reading.note()? {
            if note.state == self.state {
                note.text.push(b'\n');
                return Ok(Some(note.text));
            }
        }
        Ok(None)
    }
}

impl ContentStore for Contents {
    fn draft(&self, id: FileId) -> Result<Box<dyn Draft>, BatchStoreError> {
        let path = self.file(id);
        let draft = path.with_extension("new");
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed(&path))?;
        let (file, sealer) = (Some(file), self.sealer.clone());
        Ok(Box::new(Drafted { file, sealer, draft, path, name: id.to_string(), next: 0 }))
    }

    fn uploaded(&self, id: FileId) -> Result<Box<dyn Pieces>, BatchStoreError> {
        let path = self.file(id);
        let file = BufReader::new(File::open(&path).map_err(failed(&path))?);
        Ok(Box::new(Uploaded { file, sealer: self.sealer.clone(), path, name: id.to_string(), next: 0, ended: false }))
    }

    fn lines(&self, batch: BatchId, state: LineState) -> Result<Box<dyn Pieces>, BatchStoreError> {
        let reading = Reading::open(&self.lines_of(batch), batch.to_string(), &self.sealer)?;
        Ok(Box::new(Lines { reading, state }))
    }

    fn log(&self, batch: BatchId) -> Result<OpenedLog, BatchStoreError> {
        let path = self.lines_of(batch);
        let failed = failed(&path);
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.map_err(&failed)?;
        sync_folder(&self.folder)?;
        let mut reading = Reading::open(&path, batch.to_string(), &self.sealer)?;
        let mut notes = Vec::new();
        while let Some(note) = reading.note()? {
            notes.push((note.line, note.state, u64::try_from(note.text.len()).unwrap_or(u64::MAX)));
        }
        let (end, frayed) = (reading.at, reading.length > reading.at);
        let mut log = Notes { file, sealer: self.sealer.clone(), name: batch.to_string(), end, frayed, path };
        log.cut().map_err(failed)?;
        Ok((Box::new(log), notes))
    }

    fn erase(&self, id: FileId) -> Result<(), BatchStoreError> {
        self.remove(&self.file(id))
    }

    fn erase_log(&self, batch: BatchId) -> Result<(), BatchStoreError> {
        self.remove(&self.lines_of(batch))
    }

    fn tidy(&self, known: &dyn Fn(FileId) -> bool) -> Result<(), BatchStoreError> {
        for entry in fs::read_dir(&self.folder).map_err(failed(&self.folder))? {
            let path = entry.map_err(failed(&self.folder))?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let lost = match name.parse::<FileId>() {
                Ok(id) => !known(id),
                Err(_) => name.strip_suffix(".new").is_some_and(|name| name.parse::<FileId>().is_ok()),
            };
            if lost {
                self.remove(&path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
