//! Asks the running recorder over its control socket (docs/control.md).

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use super::Failure;
use crate::{config, sys::socket};

/// Longest answer that is read: root's list of many sessions.
const MAX_ANSWER: u64 = 16 << 20;

/// Where the recorder listens.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SocketArgs {
    /// The recorder's control socket [default: $RECORDER_SOCKET, else the configured one]
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
}

impl SocketArgs {
    /// The socket: flag, else environment, else the configuration if it can be read, else the default.
    pub(crate) fn path(&self) -> PathBuf {
        let environment = || std::env::var_os("RECORDER_SOCKET").filter(|path| !path.is_empty());
        let flag = self.socket.clone();
        flag.or_else(|| environment().map(Into::into)).unwrap_or_else(config::socket)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// Nobody is there, or nobody who speaks as the recorder does.
    Silent(io::Error),
    /// It says why not.
    Refused(String),
}

impl NoAnswer {
    /// As the end of a command.
    pub(crate) fn failure(self, path: &Path) -> Failure {
        match self {
            Self::Silent(error) => {
                Failure::Missing(format!("no recorder answers at {}: {error}", path.display()))
            }
            Self::Refused(why) => Failure::Io(format!("the recorder answers: {why}")),
        }
    }
}

/// One question, one answer.
pub(crate) fn ask(path: &Path, question: &Value, patience: Duration) -> Result<Value, NoAnswer> {
    let answer = exchange(path, question, patience).map_err(NoAnswer::Silent)?;
    let read: Value = serde_json::from_slice(&answer)
        .map_err(|_| NoAnswer::Silent(io::Error::other("that is no answer of a recorder")))?;
    if read.get("ok").and_then(Value::as_bool) == Some(true) {
        return Ok(read);
    }
    let why = read.get("error").and_then(Value::as_str).unwrap_or("no reason is given");
    Err(NoAnswer::Refused(why.to_owned()))
}

fn exchange(path: &Path, question: &Value, patience: Duration) -> io::Result<Vec<u8>> {
    let mut stream = socket::reach(path)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    // A refusal may come, and the other side be gone, before everything is sent; it is worth more than the error.
    let sent = stream.write_all(format!("{question}\n").as_bytes());
    let mut answer = Vec::new();
    match stream.take(MAX_ANSWER).read_to_end(&mut answer) {
        Ok(_) if answer.is_empty() => Err(sent.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())),
        Err(error) if answer.is_empty() => Err(sent.err().unwrap_or(error)),
        _ => Ok(answer),
    }
}
