//! What a worker tells the runner: one line each, written whole by one write(2), so that a kill never leaves half of
//! one.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

/// One line of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It has taken an item of this task.
    Took {
        /// The task.
        task: String,
    },
    /// It has put a task with its item into the store.
    Submitted {
        /// The task.
        task: String,
    },
    /// It holds the item, under this fence.
    Held {
        /// The fence.
        fence: u64,
    },
    /// It goes on from the checkpoint of this sequence number; 0 when it begins anew.
    Resume {
        /// The sequence number.
        sequence: u64,
    },
    /// The ledger handed over a call that is in doubt.
    Doubt {
        /// Its key.
        key: String,
    },
    /// The store has acknowledged a checkpoint.
    Ack {
        /// Its sequence number.
        sequence: u64,
        /// Its id, in hexadecimal digits.
        id: String,
    },
    /// It waits for a line from the runner, its heartbeat going on.
    Paused,
    /// It has lost its lease.
    Lost {
        /// How it came to know: `deadline`, `rejected` or another word.
        how: String,
    },
    /// It has lost its lease, and tries to append this checkpoint all the same.
    Trying {
        /// The id, in hexadecimal digits.
        id: String,
    },
    /// The store rejected something of it as stale.
    Fenced {
        /// What it had tried.
        what: String,
    },
    /// The store took something that it tried after the loss of its lease.
    Taken {
        /// What it had tried.
        what: String,
    },
    /// The task is done.
    Done,
}

impl Told {
    /// Prints it for the runner.
    ///
    /// # Errors
    /// What the system answers; then the runner is gone.
    pub fn tell(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(format!("{self}\n").as_bytes())?;
        out.flush()
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Took { task } => write!(f, "TOOK {task}"),
            Self::Submitted { task } => write!(f, "SUBMITTED {task}"),
            Self::Held { fence } => write!(f, "HELD {fence}"),
            Self::Resume { sequence } => write!(f, "RESUME {sequence}"),
            Self::Doubt { key } => write!(f, "DOUBT {key}"),
            Self::Ack { sequence, id } => write!(f, "ACK {sequence} {id}"),
            Self::Paused => f.write_str("PAUSED"),
            Self::Lost { how } => write!(f, "LOST {how}"),
            Self::Trying { id } => write!(f, "TRYING {id}"),
            Self::Fenced { what } => write!(f, "FENCED {what}"),
            Self::Taken { what } => write!(f, "TAKEN {what}"),
            Self::Done => f.write_str("DONE"),
        }
    }
}

impl FromStr for Told {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let number = |word: String| word.parse().map_err(|_| format!("{line:?} is no line of a worker"));
        Ok(match word().as_str() {
            "TOOK" => Self::Took { task: word() },
            "SUBMITTED" => Self::Submitted { task: word() },
            "HELD" => Self::Held { fence: number(word())? },
            "RESUME" => Self::Resume { sequence: number(word())? },
            "DOUBT" => Self::Doubt { key: word() },
            "ACK" => Self::Ack { sequence: number(word())?, id: word() },
            "PAUSED" => Self::Paused,
            "LOST" => Self::Lost { how: word() },
            "TRYING" => Self::Trying { id: word() },
            "FENCED" => Self::Fenced { what: word() },
            "TAKEN" => Self::Taken { what: word() },
            "DONE" => Self::Done,
            _ => return Err(format!("{line:?} is no line of a worker")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_reads_back_as_it_was_told() {
        for told in [
            Told::Took { task: "task-1".to_owned() },
            Told::Submitted { task: "task-1".to_owned() },
            Told::Held { fence: 7 },
            Told::Resume { sequence: 0 },
            Told::Doubt { key: "tool-ledger:a/b".to_owned() },
            Told::Ack { sequence: 12, id: "00ff".to_owned() },
            Told::Paused,
            Told::Lost { how: "deadline".to_owned() },
            Told::Trying { id: "01".to_owned() },
            Told::Fenced { what: "append".to_owned() },
            Told::Taken { what: "renew".to_owned() },
            Told::Done,
        ] {
            assert_eq!(told.to_string().parse(), Ok(told));
        }
        for line in ["", "ACK x y", "HELLO", "HELD"] {
            assert!(line.parse::<Told>().is_err(), "{line}");
        }
    }
}
