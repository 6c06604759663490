//! Arguments that one record can't hold, or that were not kept to their end: the records behind an exec (docs/events.md).
//!
//! It stands behind redaction, which has to see all arguments together: an option may stand in one record and its secret in the next.

use crate::{
    model::{Arguments, Body, Bytes, Cut, CutField, Flags, Record},
    session::Tracked,
};

/// Argument bytes of the exec itself.
const FIRST: usize = 132 << 10;
/// What one record may take up with its arguments, and what one costs beside its bytes: records beyond 512 KiB are not stored.
const ROOM: usize = 400 << 10;
const EACH: usize = 16;

/// Puts what an exec has no room for into records behind it, and says how much there was.
pub(super) fn split(tracked: &mut Vec<Tracked>) {
    if !tracked.iter().any(|item| matches!(item, Tracked::Event { record, .. } if is_long(record))) {
        return;
    }
    // What was taken out of an exec is told right behind it.
    let mut waiting: Vec<Tracked> = Vec::new();
    for item in std::mem::take(tracked) {
        let is_redaction =
            matches!(&item, Tracked::Event { record, .. } if matches!(record.body, Body::Redacted(_)));
        if !is_redaction {
            tracked.append(&mut waiting);
        }
        let Tracked::Event { mark, mut record } = item else {
            tracked.push(item);
            continue;
        };
        if is_long(&record) {
            let more = taken_off(&mut record);
            waiting.extend(more.into_iter().map(|record| Tracked::Event { mark, record }));
        }
        tracked.push(Tracked::Event { mark, record });
    }
    tracked.append(&mut waiting);
}

fn is_long(record: &Record) -> bool {
    let Body::Exec(exec) = &record.body else { return false };
    exec.cut.as_ref().is_some_and(|cut| cut.field == CutField::Argv)
        || fits(&exec.argv, FIRST) < exec.argv.len()
}

/// So many of them fit into one record, and one at least.
fn fits(argv: &[Bytes], bytes: usize) -> usize {
    let (mut room, mut left) = (ROOM, bytes);
    let fit = argv.iter().take_while(|arg| {
        let fits = room >= arg.len() + EACH && left > arg.len();
        room = room.saturating_sub(arg.len() + EACH);
        left = left.saturating_sub(arg.len() + 1);
        fits
    });
    fit.count().max(1)
}

fn taken_off(record: &mut Record) -> Vec<Record> {
    let (boot_ns, cpu, task) = (record.boot_ns, record.cpu, record.task.clone());
    let Body::Exec(exec) = &mut record.body else { return Vec::new() };
    let is_cut = exec.cut.is_some();
    let flags = if is_cut { Flags::TRUNCATED } else { Flags::default() };
    let all = std::mem::take(&mut exec.argv);
    let first = fits(&all, FIRST).min(all.len());
    let (head, mut rest) = all.split_at(first);
    exec.argv = head.to_vec();
    if exec.cut.is_none() {
        exec.cut = Some(Cut { field: CutField::Argv, bytes: exec.extent.bytes, sha256: None, relay: None });
    }
    let extent = exec.extent;
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut from = first;
    let mut out = Vec::new();
    // What was cut is told also where nothing more is kept.
    while !rest.is_empty() || (out.is_empty() && is_cut) {
        let (argv, behind) = rest.split_at(fits(rest, usize::MAX).min(rest.len()));
        let body = Body::Arguments(Box::new(Arguments {
            argc: extent.argc,
            bytes: extent.bytes,
            kept_argc: count(all.len()),
            kept: extent.kept,
            from: count(from),
            argv: argv.to_vec(),
        }));
        from += argv.len();
        rest = behind;
        out.push(Record { boot_ns, cpu, flags, task: task.clone(), body });
    }
    record.flags = record.flags.with(Flags::TRUNCATED);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ArgvExtent, BootNanos, Exec, Kind, Mark, Redacted};

    fn exec(argv: Vec<Bytes>, cut: bool) -> Tracked {
        let kept: usize = argv.iter().map(|arg| arg.len() + 1).sum();
        let kept = u64::try_from(kept).unwrap();
        let bytes = if cut { kept + 1000 } else { kept };
        let argc = u32::try_from(argv.len()).unwrap() + u32::from(cut);
        let cut = cut.then_some(Cut { field: CutField::Argv, bytes, sha256: None, relay: None });
        let extent = ArgvExtent { argc, bytes, kept };
        event(Body::Exec(Exec { argv, cut, extent, ..Exec::default() }))
    }

    fn event(body: Body) -> Tracked {
        let record = Record { boot_ns: BootNanos::new(5), cpu: 0, flags: Flags::default(), task: None, body };
        Tracked::Event { mark: Mark::new(1), record }
    }

    /// The exec's own arguments, and the records behind it.
    fn told(tracked: Vec<Tracked>) -> (Exec, Vec<Arguments>) {
        let mut records = tracked.into_iter().map(|item| match item {
            Tracked::Event { record, .. } => record.body,
            other => panic!("{other:?}"),
        });
        let Some(Body::Exec(exec)) = records.next() else { panic!("no exec") };
        let more = records.filter_map(|body| match body {
            Body::Arguments(more) => Some(*more),
            _ => None,
        });
        (exec, more.collect())
    }

    #[test]
    fn two_mebibytes_are_kept_whole_in_several_records() {
        for argv in [
            vec![Bytes::from(vec![b'x'; 131_071]); 16],
            vec![Bytes::from(""); 2 << 20],
            (0..200_000).map(|n| Bytes::from(n.to_string().as_str())).collect(),
        ] {
            let mut tracked = vec![exec(argv.clone(), false)];
            split(&mut tracked);
            let (exec, more) = told(tracked);
            assert!(more.len() > 1 && exec.cut.is_some());
            let mut whole = exec.argv;
            for one in more {
                assert_eq!(usize::try_from(one.from).unwrap(), whole.len());
                assert_eq!((one.argc, one.kept), (u32::try_from(argv.len()).unwrap(), one.bytes));
                assert!(one.argv.iter().map(|arg| arg.len() + EACH).sum::<usize>() <= ROOM);
                whole.extend(one.argv);
            }
            assert!(whole == argv);
        }
    }

    #[test]
    fn what_was_not_kept_is_told_also_where_nothing_more_is() {
        let mut tracked = vec![exec(vec!["a".into(), "b".into()], true)];
        split(&mut tracked);
        let (exec, more) = told(tracked);
        assert_eq!(exec.argv.len(), 2);
        let [one] = &more[..] else { panic!("{more:?}") };
        assert_eq!((one.argc, one.kept_argc, one.bytes, one.kept, one.from), (3, 2, 1004, 4, 2));
        assert_eq!(one.argv, []);
    }

    #[test]
    fn an_ordinary_exec_stays_as_it_is_and_redactions_stay_behind_theirs() {
        let mut tracked = vec![exec(vec!["a".into()], false)];
        split(&mut tracked);
        let (exec_of, more) = told(tracked.clone());
        assert_eq!((exec_of.cut, more.len()), (None, 0));
        let redacted = || event(Body::Redacted(Box::new(Redacted { of: Kind::EXEC, places: Vec::new() })));
        let long = || exec(vec![Bytes::from(vec![b'x'; 100_000]); 4], false);
        let mut tracked = vec![long(), redacted(), long()];
        split(&mut tracked);
        let kinds: Vec<_> = tracked
            .iter()
            .map(|item| match item {
                Tracked::Event { record, .. } => record.body.kind().name(),
                _ => "",
            })
            .collect();
        assert_eq!(kinds, ["exec", "redacted", "arguments", "exec", "arguments"]);
    }
}
