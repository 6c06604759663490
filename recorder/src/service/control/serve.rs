//! Connections: one question, one answer, each side with a limit of time and size.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::{
    answer::{self, Clerk, Peer},
    limits::Seats,
    question::MAX_QUESTION,
};

/// A question that takes longer to arrive is none; an answer that nobody reads is dropped.
const PATIENCE: Duration = Duration::from_secs(2);
/// After a failed accept (no descriptors left), so that the loop does not burn the processor.
const BREATH: Duration = Duration::from_millis(100);

/// Answers until it is dropped.
pub(super) async fn run(listener: UnixListener, clerk: &Arc<Clerk>) {
    let seats = Arc::new(Seats::default());
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to the control socket could not be taken");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let Ok(peer) = stream.peer_cred() else { continue };
        let peer = Peer { uid: peer.uid(), pid: peer.pid().and_then(|pid| u32::try_from(pid).ok()) };
        let Some(seat) = seats.take(peer.uid) else {
            // Whoever asks too often gets what fits into the socket's buffer, and no time.
            let _ = stream.try_write(&answer::refusal("too many questions at a time", false));
            continue;
        };
        let clerk = Arc::clone(clerk);
        tokio::spawn(async move {
            let _seat = seat;
            let reply = match timeout(PATIENCE, line(&stream)).await {
                Ok(Ok(line)) => answer::answer(&clerk, peer, &line).await,
                Ok(Err(Fault::TooLong)) => answer::refusal("the question is longer than 256 KiB", false),
                // Nobody is there to be told.
                Ok(Err(Fault::Gone)) => return,
                Err(_) => answer::refusal("no question came within 2 s", false),
            };
            let _ = timeout(PATIENCE, send(&stream, &reply)).await;
        });
    }
}

enum Fault {
    Gone,
    TooLong,
}

/// Everything up to the end of the line, or to the end of what is sent.
async fn line(stream: &UnixStream) -> Result<Vec<u8>, Fault> {
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        stream.readable().await.map_err(|_| Fault::Gone)?;
        let read = match stream.try_read(&mut buffer) {
            Ok(0) if line.is_empty() => return Err(Fault::Gone),
            Ok(0) => return Ok(line),
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return Err(Fault::Gone),
        };
        if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            line.extend_from_slice(read.get(..end).unwrap_or_default());
            return if line.len() > MAX_QUESTION { Err(Fault::TooLong) } else { Ok(line) };
        }
        line.extend_from_slice(read);
        if line.len() > MAX_QUESTION {
            return Err(Fault::TooLong);
        }
    }
}

async fn send(stream: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
