//! Jobs of cron and at: which session planted what a daemon runs.

use std::collections::{HashMap, HashSet};

use crate::model::{Bytes, File, FileOp, Mark};

/// Tables and spool files that are remembered.
const MOST: usize = 1024;
/// Longest table that is read.
const LONGEST: usize = 1 << 20;

/// What a path is to the daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A user's table: the command stands behind five fields.
    Table,
    /// A table of the system: a user's name stands before the command.
    SystemTable,
    /// A job of at.
    Spool,
    /// A program in `cron.daily` and the like, run by run-parts: a job of the host, whose planter is not known.
    Other,
}

fn place(path: &[u8]) -> Place {
    let tables = [&b"/var/spool/cron/crontabs/"[..], b"/var/spool/cron/tabs/"];
    let spools = [&b"/var/spool/cron/atjobs/"[..], b"/var/spool/at/", b"/var/spool/atjobs/"];
    let leaf = |prefix: &[u8]| {
        path.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && !rest.contains(&b'/'))
    };
    if path == b"/etc/crontab" || leaf(b"/etc/cron.d/") {
        Place::SystemTable
    } else if spools.iter().any(|spool| leaf(spool)) {
        Place::Spool
    } else if tables.iter().any(|table| leaf(table)) || leaf(b"/var/spool/cron/") {
        Place::Table
    } else {
        Place::Other
    }
}

/// A planted job, as the daemon will run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planted {
    /// Whose it is.
    pub(super) by: Mark,
    /// The file.
    pub(super) path: Bytes,
    /// False if the same line stood there before, or stands elsewhere too.
    pub(super) is_only_his: bool,
}

#[derive(Debug, Default)]
struct Table {
    commands: HashSet<Vec<u8>>,
    /// Commands that a session added.
    added: HashMap<Vec<u8>, Mark>,
    /// The session that touched it last: what it writes may come long after the open.
    touched: Option<Mark>,
}

/// What is known of tables and spools.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    tables: HashMap<Vec<u8>, Table>,
    /// Jobs of at by device and inode.
    spool: HashMap<((u32, u32), u64), (Mark, Bytes)>,
}

impl Jobs {
    /// A table as it stood when nobody was watching it.
    pub(super) fn known(&mut self, path: &[u8], text: &[u8]) {
        if let Some(commands) = commands(path, text) {
            self.tables.entry(path.to_vec()).or_insert(Table { commands, ..Table::default() });
        }
    }

    /// A session touched a file; `read` gives what is in it now.
    pub(super) fn touched(
        &mut self,
        by: Mark,
        op: FileOp,
        file: &File,
        read: impl Fn(&[u8]) -> Option<Vec<u8>>,
    ) {
        const WRITES: u32 = 0o1103;
        let path = match (op, &file.to) {
            (FileOp::Rename | FileOp::Link, Some(to)) => to.as_slice(),
            (FileOp::Symlink, _) => file.path.as_slice(),
            (FileOp::Open | FileOp::Create | FileOp::Write, None) if file.flags & WRITES != 0 => {
                file.path.as_slice()
            }
            _ => return,
        };
        if file.result < 0 {
            return;
        }
        match place(path) {
            Place::Other => {}
            Place::Spool => {
                if self.spool.len() >= MOST {
                    self.spool.clear();
                }
                self.spool.insert((file.dev, file.ino), (by, Bytes::from(path)));
            }
            Place::Table | Place::SystemTable => self.refresh(by, path, &read),
        }
    }

    /// Reads a table again: what is new in it is his who touched it last.
    fn refresh(&mut self, by: Mark, path: &[u8], read: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        if self.tables.len() >= MOST {
            self.tables.clear();
        }
        let table = self.tables.entry(path.to_vec()).or_default();
        table.touched = Some(by);
        let now = read(path).and_then(|text| commands(path, &text)).unwrap_or_default();
        for command in now.difference(&table.commands) {
            table.added.insert(command.clone(), by);
        }
        table.added.retain(|command, _| now.contains(command));
        table.commands = now;
    }

    /// Who planted the line that cron runs. Tables that a session touched are read again: he may have written after the open.
    pub(super) fn of_command(
        &mut self,
        command: &[u8],
        read: impl Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> Option<Planted> {
        let touched: Vec<(Vec<u8>, Mark)> =
            self.tables.iter().filter_map(|(path, table)| Some((path.clone(), table.touched?))).collect();
        for (path, by) in touched {
            self.refresh(by, &path, &read);
        }
        let mut all = self.tables.iter().filter(|(_, table)| table.commands.contains(command));
        let with = all.clone().count();
        let (path, by) = all.find_map(|(path, table)| Some((path, *table.added.get(command)?)))?;
        Some(Planted { by, path: Bytes::from(path.as_slice()), is_only_his: with == 1 })
    }

    /// Who planted the spool file that at runs.
    pub(super) fn of_spool(&mut self, dev: (u32, u32), ino: u64, now: &Bytes) -> Option<Planted> {
        // atd puts `=` in the place of the name's first letter while the job runs; a number may be another file's by now.
        let rest = |path: &Bytes| {
            path.as_slice().rsplit(|b| *b == b'/').next().and_then(|leaf| leaf.get(1..)).map(<[u8]>::to_vec)
        };
        let (_, path) = self.spool.get(&(dev, ino))?;
        if rest(path) != rest(now) {
            return None;
        }
        let (by, path) = self.spool.remove(&(dev, ino))?;
        Some(Planted { by, path, is_only_his: true })
    }
}

/// The commands of a table, as cron hands them to a shell; `None` for what is no table.
fn commands(path: &[u8], text: &[u8]) -> Option<HashSet<Vec<u8>>> {
    let before = match place(path) {
        Place::Table => 5,
        Place::SystemTable => 6,
        _ => return None,
    };
    let text = text.get(..text.len().min(LONGEST)).unwrap_or_default();
    Some(text.split(|b| *b == b'\n').filter_map(|line| command(line, before)).collect())
}

fn command(line: &[u8], before: usize) -> Option<Vec<u8>> {
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    // What stands behind the command belongs to it.
    let mut rest = line.trim_ascii_start();
    if rest.is_empty() || rest.starts_with(b"#") {
        return None;
    }
    // @daily and the like stand for all five fields.
    let fields = if rest.starts_with(b"@") { before - 4 } else { before };
    for _ in 0..fields {
        let end = rest.iter().position(blank)?;
        rest = rest.get(end..)?.trim_ascii_start();
    }
    // A bare % ends the command: what follows is its input; \% is a percent sign.
    let mut out = Vec::with_capacity(rest.len());
    let mut bytes = rest.iter().copied().peekable();
    while let Some(b) = bytes.next() {
        match b {
            b'\\' if bytes.peek() == Some(&b'%') => {
                out.push(b'%');
                bytes.next();
            }
            b'%' => break,
            b => out.push(b),
        }
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, to: Option<&str>) -> File {
        File {
            path: path.into(),
            to: to.map(Bytes::from),
            flags: 0o1101,
            dev: (8, 1),
            ino: 77,
            ..File::default()
        }
    }

    #[test]
    fn lines_become_what_the_shell_gets() {
        let of = |line: &str, n| command(line.as_bytes(), n).map(|c| String::from_utf8(c).unwrap());
        assert_eq!(of("* * * * * touch /tmp/x", 5), Some("touch /tmp/x".into()));
        assert_eq!(of("  */5\t1 2 3 4   a  b ", 5), Some("a  b ".into()));
        assert_eq!(
            of("17 * * * * root cd / && run-parts /etc/cron.hourly", 6),
            Some("cd / && run-parts /etc/cron.hourly".into())
        );
        assert_eq!(of("@reboot x y", 5), Some("x y".into()));
        assert_eq!(of("@daily root x y", 6), Some("x y".into()));
        assert_eq!(of("* * * * * date +\\%s%in\\%put", 5), Some("date +%s".into()));
        for none in ["", "# * * * * * x", "SHELL=/bin/sh", "* * * *", "   "] {
            assert_eq!(of(none, 5), None, "{none}");
        }
    }

    #[test]
    fn an_added_line_is_his_who_added_it() {
        let table = "/var/spool/cron/crontabs/root";
        let mut jobs = Jobs::default();
        jobs.known(table.as_bytes(), b"* * * * * old\n");
        jobs.known(b"/etc/crontab", b"* * * * * root shared\n");
        let read = |path: &[u8]| -> Option<Vec<u8>> {
            (path == table.as_bytes()).then(|| b"* * * * * old\n* * * * * new\n* * * * * shared\n".to_vec())
        };
        jobs.touched(
            Mark::new(5),
            FileOp::Rename,
            &file("/var/spool/cron/crontabs/tmp.1", Some(table)),
            read,
        );
        let new = jobs.of_command(b"new", read).unwrap();
        assert_eq!((new.by, new.is_only_his, new.path.as_slice()), (Mark::new(5), true, table.as_bytes()));
        assert_eq!(
            jobs.of_command(b"shared", read).map(|p| p.is_only_his),
            Some(false),
            "it stands elsewhere too"
        );
        assert_eq!(jobs.of_command(b"old", read), None, "nobody's of those who are recorded");
        assert_eq!(jobs.of_command(b"other", read), None);
        let gone = |_: &[u8]| -> Option<Vec<u8>> { Some(b"* * * * * old\n".to_vec()) };
        assert_eq!(jobs.of_command(b"new", gone), None, "he took it back");
    }

    #[test]
    fn what_was_written_after_the_open_counts() {
        let mut jobs = Jobs::default();
        // Read between the open and the write.
        let early = |_: &[u8]| -> Option<Vec<u8>> { Some(Vec::new()) };
        jobs.touched(Mark::new(5), FileOp::Create, &file("/etc/cron.d/x", None), early);
        let late =
            |_: &[u8]| -> Option<Vec<u8>> { Some(b"* * * * * root first\n* * * * * root second\n".to_vec()) };
        assert_eq!(jobs.of_command(b"second", late).map(|p| p.by), Some(Mark::new(5)));
    }

    #[test]
    fn jobs_of_at_are_known_by_their_file() {
        let mut jobs = Jobs::default();
        let none = |_: &[u8]| None;
        jobs.touched(Mark::new(5), FileOp::Create, &file("/var/spool/cron/atjobs/a0001", None), none);
        assert_eq!(
            jobs.of_spool((8, 1), 77, &"/var/spool/cron/atjobs/=0001".into()).map(|p| p.by),
            Some(Mark::new(5))
        );
        assert_eq!(jobs.of_spool((8, 1), 78, &"/var/spool/cron/atjobs/=0001".into()), None);
        assert_eq!(jobs.of_spool((8, 2), 77, &"/var/spool/cron/atjobs/=0001".into()), None);
        let planted = |jobs: &mut Jobs| {
            jobs.touched(Mark::new(5), FileOp::Create, &file("/var/spool/cron/atjobs/a0001", None), none);
        };
        planted(&mut jobs);
        assert_eq!(
            jobs.of_spool((8, 1), 77, &"/var/spool/cron/atjobs/=0002".into()),
            None,
            "another job's number"
        );
        jobs.touched(
            Mark::new(6),
            FileOp::Open,
            &File { flags: 0, ..file("/var/spool/cron/atjobs/a0001", None) },
            none,
        );
        let job = "/var/spool/cron/atjobs/=0001".into();
        assert_eq!(
            jobs.of_spool((8, 1), 77, &job).map(|p| p.by),
            Some(Mark::new(5)),
            "reading plants nothing"
        );
        assert_eq!(jobs.of_spool((8, 1), 77, &job), None, "a job runs once, and its number is given again");
    }
}
