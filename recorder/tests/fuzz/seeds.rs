//! First inputs of retention's targets: what the frozen journals would leave if they were deleted, and permits for it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use recorder::journal::retain::{Item, Maker, Permit, Plan, Stub, Successor, build};
use recorder::model::{Digest, RealNanos};

const MADE: RealNanos = RealNanos::new(1_795_228_260_000_000_000);
const UNTIL: RealNanos = RealNanos::new(1_795_833_060_000_000_000);
/// Frozen journals whose segments differ: rotations, restarts, faults, sessions over several segments.
const JOURNALS: [&str; 5] = ["rotation", "restarts", "several", "sessions", "fault-rotation"];

/// Every stub of every log, as bytes and as what they say.
fn logs() -> Vec<Vec<(Vec<u8>, Stub)>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1");
    JOURNALS
        .iter()
        .flat_map(|name| listed(&fixtures.join(name).join("journal")))
        .map(|log| stubs(&log))
        .collect()
}

fn listed(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

fn stubs(log: &Path) -> Vec<(Vec<u8>, Stub)> {
    let mut files = listed(log);
    files.retain(|path| path.extension().is_some_and(|e| e == "rj"));
    let pairs = files.iter().zip(files.iter().skip(1));
    pairs
        .filter_map(|(one, next)| {
            let next = Successor::read(File::open(next).unwrap()).ok()?;
            build(File::open(one).unwrap(), &next).ok()
        })
        .collect()
}

/// Each stub in the three modes of the target, and one with tombstones.
pub(crate) fn stub() -> Vec<Vec<u8>> {
    let stubs: Vec<_> = logs().into_iter().flatten().map(|(bytes, _)| bytes).collect();
    let buried = stubs.first().map(|bytes| {
        let mut bytes = bytes.clone();
        bytes.truncate(bytes.len() - 4);
        bytes[20] = 2;
        bytes.extend((0..176).map(|n: u8| n));
        let crc = crc32c::crc32c(&bytes);
        bytes.extend(crc.to_le_bytes());
        bytes
    });
    let all = stubs.into_iter().chain(buried);
    all.flat_map(|bytes| (0..3).map(move |mode| [&[mode][..], &bytes].concat())).collect()
}

/// A permit for each log, one with all that has to be quoted, one that is long.
pub(crate) fn permit() -> Vec<Vec<u8>> {
    let maker = Maker { signer: "dana".into(), made: MADE, nonce: [1; 16] };
    let write = |plan: &Plan, reason: &str| Permit::write(&maker, plan, reason, UNTIL).unwrap().1;
    let plans: Vec<_> = logs().iter().filter_map(|log| plan(log)).collect();
    let mut all: Vec<_> = plans.iter().map(|plan| write(plan, "disk")).collect();
    let mut long = plans[0].clone();
    all.push(write(&long, "\"full\" \\ größer"));
    long.segments =
        (0..40).map(|n| Item { first: n * 10, last: n * 10 + 5, stub: Digest::new([9; 32]) }).collect();
    all.push(write(&long, &"x".repeat(4096)));
    all
}

fn plan(log: &[(Vec<u8>, Stub)]) -> Option<Plan> {
    let item = |stub: &Stub| {
        let first = stub.first.header.leaf;
        Item { first, last: first + stub.leaves() - 1, stub: stub.digest }
    };
    let (_, one) = log.first()?;
    let segments = log.iter().map(|(_, stub)| item(stub)).collect();
    Some(Plan { log: one.header.log, policy: "keep 90d".into(), holds: Digest::new([5; 32]), segments })
}
