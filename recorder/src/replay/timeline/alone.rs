//! Which acts always have a line of their own, however many others stand beside them.

use super::What;
use crate::model::{Body, Bytes, Changed, Class, FileOp, Why};

const EPERM: i32 = -1;
const EACCES: i32 = -13;
const EROFS: i32 = -30;
/// Set-user-id and set-group-id.
const RIGHTS: u32 = 0o6000;
/// Where an act is about the system and not about what a program keeps for itself.
const PLACES: &[&[u8]] = &[
    b"/etc/",
    b"/boot/",
    b"/dev/",
    b"/proc/",
    b"/sys/",
    b"/lib/systemd/",
    b"/usr/lib/systemd/",
    b"/usr/local/",
    b"/run/systemd/",
    b"/var/spool/cron/",
];
const NAMES: &[&[u8]] = &[b".ssh", b".bashrc", b".profile", b".bash_profile", b".zshrc", b"authorized_keys"];

/// An act on a file, as far as it matters here.
#[derive(Clone, Copy)]
pub(super) struct Act<'a> {
    pub(super) name: &'static str,
    pub(super) path: &'a Bytes,
    pub(super) to: Option<&'a Bytes>,
    result: i32,
    rights: bool,
    pub(super) count: u64,
}

/// The act of an item, if it is one on a file.
pub(super) fn act(what: &What) -> Option<Act<'_>> {
    let plain = |name, path, result, rights| Act { name, path, to: None, result, rights, count: 1 };
    match what {
        What::File(op, file) => Some(Act {
            name: Body::File(*op, crate::model::File::default()).kind().name(),
            path: &file.path,
            // What a link says is no path of its own.
            to: file.to.as_ref().filter(|_| *op != FileOp::Symlink),
            result: file.result,
            rights: matches!(op, FileOp::Mknod | FileOp::Write) || file.mode & RIGHTS != 0,
            count: u64::from(file.count.max(1)),
        }),
        What::Act(body) => match &**body {
            Body::Setattr(_, set) => Some(plain(
                body.kind().name(),
                &set.path,
                set.result,
                set.mode.is_some_and(|mode| mode & RIGHTS != 0),
            )),
            Body::Xattr(set) => Some(plain(
                body.kind().name(),
                &set.path,
                set.result,
                set.name.as_slice().starts_with(b"security."),
            )),
            Body::Allocate(done) => Some(plain(body.kind().name(), &done.path, done.result, false)),
            _ => None,
        },
        _ => None,
    }
}

impl Act<'_> {
    /// True if it stands alone; `passing`: the program made that file and took it away again.
    pub(super) fn stands_alone(&self, passing: impl Fn(&Bytes) -> bool) -> bool {
        let matters = |path: &Bytes| is_watched(path.as_slice()) && !passing(path);
        matches!(self.result, EPERM | EACCES | EROFS)
            || self.rights
            || matters(self.path)
            || self.to.is_some_and(matters)
    }

    /// It was done.
    pub(super) const fn is_done(&self) -> bool {
        self.result >= 0
    }
}

fn is_watched(path: &[u8]) -> bool {
    PLACES.iter().any(|place| path.starts_with(place))
        || path.split(|byte| *byte == b'/').any(|name| NAMES.contains(&name))
}

/// What is left in a file and means nothing by itself: there is no class, no difference to show, and nothing was in the way of a look.
pub(super) fn is_plain(changed: &Changed) -> bool {
    let odd = |found: &crate::model::Found| found.mode & RIGHTS != 0 || found.caps != 0;
    changed.class == Class::None
        && changed.diff.is_none()
        && matches!(changed.why, Why::None | Why::Gone)
        && changed.count == 1
        && !is_watched(changed.path.as_slice())
        && !changed.after.as_ref().is_some_and(odd)
        && !changed.before.as_ref().is_some_and(odd)
}
