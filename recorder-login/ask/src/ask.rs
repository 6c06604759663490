//! One question over the socket, with one deadline for everything.
//!
//! The person at the other side of sudo and su can stop or freeze the process that asks for him (Ctrl-Z, SIGSTOP, a cgroup
//! of his own), and a deadline that passed meanwhile must not let him through. So late data is still read, and a try
//! that took longer than it ever waits for is made again.

use std::{
    io::{self, Read},
    os::{fd::AsFd, unix::net::UnixStream},
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    answer::{Answer, MAX_ANSWER},
    options::Options,
    sys,
};

/// How long connection, question and answer may take together.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// A try that took longer than this was stopped: all its own waiting ends at [`PATIENCE`].
const STOPPED: Duration = Duration::from_millis(1300);
/// Tries before it is his fault. So many in a row on a machine that is only slow, with a recorder that hangs, are unlikely.
const TRIES: u32 = 10;
/// What is waited for data once the deadline has passed.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// Nobody listens: known at once, however late it is.
    Absent(String),
    /// The process may not open one more file; whoever started it decides that.
    NoDescriptor,
    /// Nobody answered in time, or the connection broke.
    Silent(String),
}

/// Asks; the question is one line. What went wrong is also logged.
pub fn ask(options: &Options, question: &str) -> Answer {
    let answer = persist(|| {
        let start = Instant::now();
        (attempt(options.socket(), question, start + PATIENCE), start.elapsed())
    });
    if let Answer::NoRecorder(why) = &answer {
        let closed = if options.fails_closed() { "fails closed" } else { "goes on without" };
        sys::log(&format!("no recorder at {}: {why}; {closed}", options.socket().display()));
    }
    answer
}

/// Repeats what was stopped.
fn persist(mut attempt: impl FnMut() -> (Result<Answer, Fault>, Duration)) -> Answer {
    for _ in 0..TRIES {
        let (outcome, took) = attempt();
        match outcome {
            Ok(answer @ (Answer::Allow(_) | Answer::Deny(_))) => return answer,
            Err(Fault::Absent(why)) => return Answer::NoRecorder(why),
            Err(Fault::NoDescriptor) => {
                return Answer::Deny(vec![
                    "recorder: refused, no file descriptor is left (ulimit -n)".to_owned(),
                ]);
            }
            Ok(Answer::NoRecorder(why)) | Err(Fault::Silent(why)) if took < STOPPED => {
                return Answer::NoRecorder(why);
            }
            Ok(Answer::NoRecorder(_)) | Err(Fault::Silent(_)) => {}
        }
    }
    Answer::Deny(vec![
        "recorder: refused, this process was stopped again and again while it asked".to_owned(),
    ])
}

fn attempt(socket: &Path, question: &str, deadline: Instant) -> Result<Answer, Fault> {
    let fd = sys::stream().map_err(|error| match error.raw_os_error() {
        Some(libc::EMFILE) => Fault::NoDescriptor,
        _ => Fault::Absent(error.to_string()),
    })?;
    let stream = UnixStream::from(fd);
    let silent = |error: io::Error| Fault::Silent(error.to_string());
    loop {
        stream.set_write_timeout(Some(left(deadline))).map_err(silent)?;
        match sys::connect(stream.as_fd(), socket) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted && Instant::now() < deadline => {}
            Err(error) if is_transient(&error) => return Err(silent(error)),
            Err(error) => return Err(Fault::Absent(error.to_string())),
        }
    }
    let peer = sys::peer_uid(stream.as_fd()).map_err(silent)?;
    if peer != 0 && peer != sys::effective_uid() {
        return Err(Fault::Absent(format!("uid {peer} listens there")));
    }
    send(&stream, question.as_bytes(), deadline).map_err(silent)?;
    receive(&stream, deadline).map_err(silent)
}

/// A queue that is full for the whole time, or a signal.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::TimedOut)
}

/// What remains; never nothing, which would mean for ever.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(LAST_LOOK)
}

fn send(stream: &UnixStream, mut question: &[u8], deadline: Instant) -> io::Result<()> {
    while !question.is_empty() {
        stream.set_write_timeout(Some(left(deadline)))?;
        match sys::send(stream.as_fd(), question) {
            Ok(count) => question = question.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted && Instant::now() < deadline => {}
            // A recorder that refuses early answers and closes: the answer is there to be read.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPIPE | libc::ECONNRESET)) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn receive(mut stream: &UnixStream, deadline: Instant) -> io::Result<Answer> {
    let mut buffer = [0; MAX_ANSWER];
    let mut length = 0;
    let mut is_ended = false;
    loop {
        let is_last = Instant::now() >= deadline;
        stream.set_read_timeout(Some(left(deadline)))?;
        match stream.read(buffer.get_mut(length..).unwrap_or_default()) {
            // Also when the buffer is full: the rest is not wanted.
            Ok(0) => is_ended = true,
            Ok(count) => length += count,
            Err(error) if is_transient(&error) => {}
            Err(error) if length == 0 => return Err(error),
            // It closed before it had read everything; what it said counts.
            Err(_) => break,
        }
        if is_ended || is_last {
            break;
        }
    }
    if length == 0 && !is_ended {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(Answer::read(buffer.get(..length).unwrap_or_default(), is_ended))
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::net::UnixListener, sync::mpsc, thread};

    use super::*;

    /// A daemon for one question; gives the options that lead to it, and what it returned.
    fn daemon<T: Send + 'static>(
        dir: &Path,
        serve: impl FnOnce(UnixStream) -> T + Send + 'static,
    ) -> (Options, thread::JoinHandle<T>) {
        let path = dir.join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let handle = thread::spawn(move || serve(listener.accept().unwrap().0));
        (options(&path), handle)
    }

    fn options(path: &Path) -> Options {
        Options::parse([format!("socket={}", path.display()).as_bytes()])
    }

    fn read_line(stream: &mut UnixStream) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while stream.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    fn no_recorder(answer: &Answer) -> &str {
        let Answer::NoRecorder(why) = answer else { panic!("{answer:?}") };
        why
    }

    #[test]
    fn a_question_and_its_answer() {
        let dir = tempfile::tempdir().unwrap();
        let (options, daemon) = daemon(dir.path(), |mut stream| {
            let line = read_line(&mut stream);
            stream.write_all(b"deny\nno ").unwrap();
            stream.write_all(b"grant\n").unwrap();
            line
        });
        assert_eq!(ask(&options, "{\"v\":1}\n"), Answer::Deny(vec!["no grant".to_owned()]));
        assert_eq!(daemon.join().unwrap(), "{\"v\":1}");
    }

    #[test]
    fn a_question_larger_than_the_sockets_buffer_arrives() {
        let dir = tempfile::tempdir().unwrap();
        let (options, daemon) = daemon(dir.path(), |mut stream| {
            let line = read_line(&mut stream);
            stream.write_all(b"allow\n").unwrap();
            line.len()
        });
        assert_eq!(ask(&options, &format!("{}\n", "x".repeat(250 * 1024))), Answer::Allow(Vec::new()));
        assert_eq!(daemon.join().unwrap(), 250 * 1024);
    }

    #[test]
    fn nobody_there() {
        let dir = tempfile::tempdir().unwrap();
        let start = Instant::now();
        no_recorder(&ask(&options(&dir.path().join("none")), "{}\n"));
        let stale = dir.path().join("stale");
        drop(UnixListener::bind(&stale).unwrap());
        no_recorder(&ask(&options(&stale), "{}\n"));
        no_recorder(&ask(&options(&dir.path().join("x".repeat(200))), "{}\n"));
        no_recorder(&ask(&options(dir.path()), "{}\n"));
        assert!(start.elapsed() < PATIENCE);
    }

    #[test]
    fn who_hangs_is_waited_for_one_second() {
        let dir = tempfile::tempdir().unwrap();
        let (end, wait) = mpsc::channel::<()>();
        let (options, daemon) = daemon(dir.path(), move |stream| {
            let _ = wait.recv();
            drop(stream);
        });
        let start = Instant::now();
        no_recorder(&ask(&options, "{}\n"));
        let took = start.elapsed();
        assert!(took >= PATIENCE && took < PATIENCE * 2, "{took:?}");
        drop(end);
        daemon.join().unwrap();
    }

    #[test]
    fn who_does_not_accept_is_waited_for_one_second() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        // Connections wait in the queue; the question lies in the socket's buffer.
        let start = Instant::now();
        no_recorder(&ask(&options(&path), "{}\n"));
        assert!(start.elapsed() < PATIENCE * 2);
        // One that is too long for the buffer.
        let start = Instant::now();
        no_recorder(&ask(&options(&path), &"x".repeat(4 << 20)));
        assert!(start.elapsed() < PATIENCE * 2);
        drop(listener);
    }

    #[test]
    fn who_trickles_is_not_waited_for_longer() {
        let dir = tempfile::tempdir().unwrap();
        let (options, daemon) = daemon(dir.path(), |mut stream| {
            while stream.write_all(b"a").is_ok() {
                thread::sleep(Duration::from_millis(5));
            }
        });
        let start = Instant::now();
        no_recorder(&ask(&options, "{}\n"));
        assert!(start.elapsed() < PATIENCE * 2);
        daemon.join().unwrap();
    }

    #[test]
    fn an_answer_without_a_close_counts_by_its_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let (end, wait) = mpsc::channel::<()>();
        let (options, daemon) = daemon(dir.path(), move |mut stream| {
            stream.write_all(b"deny\nno\n").unwrap();
            let _ = wait.recv();
        });
        assert_eq!(ask(&options, "{}\n"), Answer::Deny(vec!["no".to_owned()]));
        drop(end);
        daemon.join().unwrap();
    }

    #[test]
    fn closing_early_garbage_and_huge_answers() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |name: &str, serve: fn(UnixStream)| {
            let dir = dir.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            let (options, daemon) = daemon(&dir, serve);
            no_recorder(&ask(&options, "{}\n"));
            daemon.join().unwrap();
        };
        refused("close", drop);
        refused("garbage", |mut stream| stream.write_all(&[0xfe; 100]).unwrap());
        refused("half", |mut stream| stream.write_all(b"al").unwrap());
        refused("endless line", |mut stream| while stream.write_all(&[b'x'; 4096]).is_ok() {});
        let (options, daemon) = daemon(dir.path(), |mut stream| {
            let _ = stream.write_all(b"allow\n");
            while stream.write_all(b"yes\n").is_ok() {}
        });
        let Answer::Allow(lines) = ask(&options, "{}\n") else { panic!("not allowed") };
        assert_eq!(lines.len(), 16);
        daemon.join().unwrap();
    }

    #[test]
    fn an_answer_before_the_question_was_read_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (options, daemon) = daemon(dir.path(), |mut stream| {
            stream.write_all(b"deny\nbusy\n").unwrap();
        });
        let answer = ask(&options, &format!("{}\n", "x".repeat(200 * 1024)));
        assert_eq!(answer, Answer::Deny(vec!["busy".to_owned()]));
        daemon.join().unwrap();
    }

    #[test]
    fn being_stopped_gets_nobody_through() {
        let silent = || Err(Fault::Silent("late".to_owned()));
        // Stopped twice, then the recorder's no is heard.
        let mut tries = 0;
        let answer = persist(|| {
            tries += 1;
            if tries < 3 { (silent(), STOPPED) } else { (Ok(Answer::Deny(Vec::new())), PATIENCE) }
        });
        assert_eq!(answer, Answer::Deny(Vec::new()));
        // The recorder gave up on a question that came too late.
        let mut tries = 0;
        let answer = persist(|| {
            tries += 1;
            let late = Ok(Answer::NoRecorder("error".to_owned()));
            if tries == 1 { (late, STOPPED * 2) } else { (Ok(Answer::Allow(Vec::new())), PATIENCE) }
        });
        assert_eq!(answer, Answer::Allow(Vec::new()));
        // Stopped each time.
        assert!(matches!(persist(|| (silent(), STOPPED)), Answer::Deny(_)));
        // A recorder that hangs, or is not there, is no fault of his.
        assert!(matches!(persist(|| (silent(), PATIENCE)), Answer::NoRecorder(_)));
        assert!(matches!(persist(|| (Err(Fault::Absent(String::new())), STOPPED)), Answer::NoRecorder(_)));
        assert!(matches!(persist(|| (Err(Fault::NoDescriptor), PATIENCE)), Answer::Deny(_)));
    }
}
