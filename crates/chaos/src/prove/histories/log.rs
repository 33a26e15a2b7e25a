//! The log of one process in one history: a line before each call and a line after it, each written at once, so that
//! SIGKILL takes nothing that was known.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::call::{Answer, Asked, Call, boot_nanos};

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// A caller is about to make its call of this number.
    Asks { caller: usize, number: usize, asked: Asked, is_again: bool, at: u64 },
    /// It has its answer; none when it got lost.
    Hears { caller: usize, number: usize, answer: Option<Answer>, at: u64 },
    /// Nothing that this process asked is under way any more.
    Ends { at: u64 },
}

/// Where a process writes.
#[derive(Debug)]
pub(super) struct Log(File);

impl Log {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(File::create(path)?))
    }

    pub(super) fn asks(&self, caller: usize, number: usize, asked: &Asked, is_again: bool) -> io::Result<()> {
        // The clock first: the interval holds all of the call, and the writing of this line too.
        let at = boot_nanos();
        self.write(&Line::Asks { caller, number, asked: asked.clone(), is_again, at })
    }

    pub(super) fn hears(&self, caller: usize, number: usize, answer: Option<Answer>) -> io::Result<()> {
        let at = boot_nanos();
        self.write(&Line::Hears { caller, number, answer, at })
    }

    pub(super) fn ends(&self) -> io::Result<()> {
        self.write(&Line::Ends { at: boot_nanos() })
    }

    fn write(&self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        (&self.0).write_all(&text)
    }
}

/// What a log tells.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) calls: Vec<Call>,
    /// Answers that nobody waited for.
    pub(super) lost: u64,
}

/// The calls in a log. What was under way at the end was over at `dead`, by which the process surely was.
pub(super) fn read(path: &Path, process: usize, dead: u64) -> io::Result<Read> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        // It was killed before it had begun.
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let mut calls = Vec::<(usize, Call)>::new();
    let (mut end, mut lost) = (dead, 0);
    for line in text.split_inclusive('\n') {
        // A last line without its end was being written when the process died.
        let Some(line) = line.strip_suffix('\n') else { break };
        match serde_json::from_str(line)? {
            Line::Asks { caller, number, asked, is_again, at } => {
                let call = Call { process, caller, asked, is_again, start: at, end: dead, answer: None };
                calls.push((number, call));
            }
            Line::Hears { caller, number, answer, at } => {
                let own = calls.iter_mut().rev().find(|(one, call)| (*one, call.caller) == (number, caller));
                let (_, call) = own.ok_or_else(|| io::Error::other("an answer to what was never asked"))?;
                if answer.is_some() {
                    call.end = at;
                } else {
                    lost += 1;
                }
                call.answer = answer;
            }
            Line::Ends { at } => end = end.min(at),
        }
    }
    let calls = calls.into_iter().map(|(_, call)| match call.answer {
        None => Call { end, ..call },
        Some(_) => call,
    });
    Ok(Read { calls: calls.collect(), lost })
}
