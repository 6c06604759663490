//! Scripts that a session wrote and others run. What an exec tells is the interpreter: the script is looked at when the kernel first
//! asks whether it may run, or known by its path where that question is not seen.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, generated::bpf_probe_read_kernel_str};
use core::ffi::c_void;
use recorder_common::{BranchEvent, Class, Kind, PlantKey, Ring, SCRIPT_NAME, ScriptName, State};

use crate::{
    deleg,
    emit::{self, Event},
    kernel::{self, off},
    maps::{PLANTED, SCRIPT_NAMES, SCRIPTS},
    scope,
};

/// True while the program that was asked for is looked at, and no interpreter of it.
#[inline(always)]
fn is_first(bprm: u64) -> bool {
    kernel::read::<u64>(bprm, off!(bprm_interp)) == kernel::read::<u64>(bprm, off!(bprm_filename))
}

/// Who executes, also when it is no leader: it has the leader's number when the exec is told.
#[inline(always)]
fn process() -> u64 {
    bpf_get_current_pid_tgid() >> 32
}

/// `security_bprm_check(bprm)`: once for what is run, and once for each interpreter.
#[inline(always)]
pub fn checked(bprm: u64) {
    if emit::state(State::PLANTED) == 0 || !is_first(bprm) || scope::mark_of(kernel::current()).is_some() {
        return;
    }
    let file: u64 = kernel::read(bprm, off!(bprm_file));
    let key = deleg::plant_key(kernel::read(file, off!(file_inode)));
    let process = process();
    if PLANTED.get_ptr(&key).is_some() {
        let _ = SCRIPTS.insert(&process, &key, 0);
    } else {
        // Of an exec before it that came to nothing.
        let _ = SCRIPTS.remove(&process);
    }
}

/// An exec of a task that is nobody's: the mark it has from here on if a script of a session is what runs, 0 if not.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn script(bprm: u64) -> u64 {
    if emit::state(State::PLANTED) == 0 || is_first(bprm) {
        return 0;
    }
    let task = kernel::current();
    if scope::mark_of(task).is_some() {
        return 0;
    }
    let process = process();
    let mut key = PlantKey { ino: 0, dev: 0, generation: 0 };
    let mut parent = 0;
    // SAFETY: copied at once.
    if let Some(known) = unsafe { SCRIPTS.get(&process) }.copied() {
        let _ = SCRIPTS.remove(&process);
        key = known;
        // SAFETY: as above.
        parent = unsafe { PLANTED.get(&key) }.copied().unwrap_or(0);
    }
    let filename: u64 = kernel::read(bprm, off!(bprm_filename));
    if parent == 0 {
        parent = by_name(filename);
    }
    if parent == 0 {
        return 0;
    }
    let mark = emit::next_mark();
    if !scope::adopt(task, mark, 0) {
        return 0;
    }
    runs(mark, parent, &key, filename);
    mark
}

/// Which session wrote what lies at that path.
#[inline(always)]
fn by_name(filename: u64) -> u64 {
    let mut name = ScriptName([0; SCRIPT_NAME]);
    let (to, from) = (name.0.as_mut_ptr().cast::<c_void>(), filename as *const c_void);
    // SAFETY: as many bytes as there are at most; the helper checks the source.
    let len = unsafe { bpf_probe_read_kernel_str(to, SCRIPT_NAME as u32, from) };
    // A longer one comes back without its end and is nobody's.
    if len <= 1 || len >= SCRIPT_NAME as i64 {
        return 0;
    }
    // SAFETY: copied at once.
    unsafe { SCRIPT_NAMES.get(&name) }.copied().unwrap_or(0)
}

#[inline(always)]
fn runs(mark: u64, parent: u64, key: &PlantKey, filename: u64) {
    let Some(mut event) = Event::new::<BranchEvent>(Class::SESSION) else { return };
    let path_len = event.kernel_str(filename);
    let PlantKey { ino, dev, generation } = *key;
    let payload = BranchEvent { parent, object: ino, dev, cause: BranchEvent::SCRIPT, path_len, generation };
    event.send(Kind::BRANCH, Ring::CRITICAL, mark, payload, 0);
}
