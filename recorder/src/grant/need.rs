//! What work needs to be allowed: which user a process acts as, and which command line it runs.

use super::{
    Privilege,
    pattern::{Case, matches},
};
use crate::model::{BootNanos, Bytes, Exec, TaskId};

/// Directories whose programs may be named without them in a `command:` pattern. Elsewhere everybody can put a program
/// of any name, so there a pattern has to give the whole path.
const SYSTEM_DIRS: [&[u8]; 4] = [b"/usr/bin/", b"/usr/sbin/", b"/bin/", b"/sbin/"];

/// A command line in the forms that a `command:` pattern is matched against.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandLine {
    /// Resolved path and arguments, joined by blanks. The first argument is left out: the caller may call himself
    /// anything there.
    full: Vec<u8>,
    /// Where the program's bare name begins, if it lies in a system directory.
    name_at: Option<usize>,
    /// Nothing was cut: what is not known can't be said to match.
    whole: bool,
}

impl CommandLine {
    /// From an exec event.
    pub fn new(exec: &Exec) -> Self {
        let path = exec.path.as_slice();
        let mut full = path.to_vec();
        for argument in exec.argv.iter().skip(1) {
            full.push(b' ');
            full.extend_from_slice(argument.as_slice());
        }
        let name_at = SYSTEM_DIRS.iter().find_map(|dir| {
            let name = path.strip_prefix(*dir)?;
            (!name.is_empty() && !name.contains(&b'/')).then_some(dir.len())
        });
        Self { full, name_at, whole: exec.cut.is_none() }
    }

    /// True if a pattern matches one of the forms.
    pub fn matches(&self, pattern: &str) -> bool {
        let name = self.name_at.and_then(|at| self.full.get(at..));
        self.whole
            && [Some(self.full.as_slice()), name]
                .into_iter()
                .flatten()
                .any(|line| matches(pattern.as_bytes(), line, Case::Exact))
    }
}

/// What a process needs while it runs one program as one user.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wanted {
    /// Effective user id.
    pub uid: u32,
    /// Its name on this host, if it has one.
    pub user: Option<String>,
    /// What it runs.
    pub line: CommandLine,
}

impl Wanted {
    /// A program whose arguments are not known.
    pub fn of_program(uid: u32, user: Option<String>, path: &Bytes) -> Self {
        let exec = Exec { path: path.clone(), ..Exec::default() };
        Self { uid, user, line: CommandLine::new(&exec) }
    }
}

impl Privilege {
    /// True if this is everything: `user:root` is.
    pub fn is_root(&self) -> bool {
        match self {
            Self::Root => true,
            Self::User(name) => name == "root",
            Self::Command(_) => false,
        }
    }

    /// Where the programs may lie whose command lines it can match; `None`: anywhere. Only a `command:` is limited so.
    pub fn programs(&self) -> Option<Vec<String>> {
        let Self::Command(pattern) = self else { return None };
        let program = pattern.split(' ').next().unwrap_or_default();
        if program.is_empty() || program.contains(['*', '?']) {
            return None;
        }
        if program.starts_with('/') {
            return Some(vec![program.to_owned()]);
        }
        let dirs = SYSTEM_DIRS.iter().map(|dir| String::from_utf8_lossy(dir));
        Some(dirs.map(|dir| format!("{dir}{program}")).collect())
    }

    /// True if it allows that. Uid 0 is root whatever its name; a command is allowed as root and as anybody less.
    pub fn allows(&self, wanted: &Wanted) -> bool {
        match self {
            _ if self.is_root() => true,
            Self::Root => true,
            Self::User(name) => wanted.uid != 0 && wanted.user.as_ref() == Some(name),
            Self::Command(pattern) => wanted.line.matches(pattern),
        }
    }
}

/// A stretch of one process's life with one need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The process.
    pub task: TaskId,
    /// Which need of its session this is, counted from 0.
    pub turn: u64,
    /// When it began to need it.
    pub from: BootNanos,
    /// The first instant at which it did not any more; `None`: it still does.
    pub until: Option<BootNanos>,
    /// What.
    pub wanted: Wanted,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Cut, CutField};

    fn line(path: &str, argv: &[&str]) -> Exec {
        Exec {
            path: Bytes::from(path),
            argv: argv.iter().map(|a| Bytes::from(*a)).collect(),
            ..Exec::default()
        }
    }

    fn root(exec: &Exec) -> Wanted {
        Wanted { uid: 0, user: Some("root".into()), line: CommandLine::new(exec) }
    }

    #[test]
    fn h10_root_is_more_than_a_user_and_a_user_more_than_nothing() {
        let shell = line("/usr/bin/bash", &["bash"]);
        let postgres = Wanted { uid: 112, user: Some("postgres".into()), ..root(&shell) };
        let toor = Wanted { user: Some("postgres".into()), ..root(&shell) };
        let user = Privilege::User("postgres".into());
        assert!(user.allows(&postgres) && Privilege::Root.allows(&postgres));
        assert!(!user.allows(&root(&shell)) && !user.allows(&toor));
        assert!(Privilege::User("root".into()).allows(&root(&shell)));
        assert!(!user.allows(&Wanted { user: None, ..postgres }));
    }

    #[test]
    fn a_command_is_known_by_its_resolved_path() {
        let glob = Privilege::Command("systemctl restart *".into());
        let allowed = |exec: &Exec| glob.allows(&root(exec));
        assert!(allowed(&line("/usr/bin/systemctl", &["systemctl", "restart", "nginx"])));
        assert!(allowed(&line("/usr/bin/systemctl", &["liar", "restart", "nginx"])));
        assert!(!allowed(&line("/usr/bin/bash", &["systemctl", "restart", "nginx"])));
        assert!(!allowed(&line("/tmp/systemctl", &["systemctl", "restart", "nginx"])));
        assert!(!allowed(&line("/usr/bin/x/systemctl", &["systemctl", "restart", "nginx"])));
        assert!(!allowed(&line("/usr/bin/systemctl", &["systemctl", "stop", "nginx"])));
        let path = Privilege::Command("/opt/bin/deploy *".into());
        assert!(path.allows(&root(&line("/opt/bin/deploy", &["deploy", "now"]))));
    }

    #[test]
    fn the_programs_of_a_command_are_known_unless_their_name_is_a_pattern() {
        let of = |pattern: &str| Privilege::Command(pattern.into()).programs();
        assert_eq!(of("/opt/bin/deploy *"), Some(vec!["/opt/bin/deploy".to_owned()]));
        let named = of("systemctl restart *").unwrap();
        assert!(named.contains(&"/usr/bin/systemctl".to_owned()) && named.len() == 4);
        assert_eq!((of("*"), of("sys* x"), of(" x"), Privilege::Root.programs()), (None, None, None, None));
    }

    #[test]
    fn a_command_line_that_was_cut_matches_nothing() {
        let mut exec = line("/usr/bin/systemctl", &["systemctl", "restart", "nginx"]);
        exec.cut = Some(Cut { field: CutField::Argv, bytes: 99_999, sha256: None, relay: None });
        assert!(!Privilege::Command("*".into()).allows(&root(&exec)));
        assert!(Privilege::Root.allows(&root(&exec)));
    }
}
