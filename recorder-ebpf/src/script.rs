//! Scripts that a session wrote and others run. What an exec tells is the interpreter: the script is looked at when the kernel first
//! asks whether it may run, or known by its path where that question is not seen.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel_str, bpf_task_storage_get};
use core::{
    ffi::c_void,
    ptr::{addr_of, null_mut},
};
use recorder_common::{
    BranchEvent, Class, Flag, Kind, PlantKey, Ring, SCRIPT_NAME, ScriptEvent, ScriptName, State,
};

use crate::{
    deleg,
    emit::{self, Event},
    kernel::{self, Place, off},
    maps::{PLANTED, SCRIPT_NAMES, SCRIPTS},
    scope,
};

const NONE: PlantKey = PlantKey { ino: 0, dev: 0, generation: 0 };

/// True while the program that was asked for is looked at, and no interpreter of it.
#[inline(always)]
fn is_first(bprm: u64) -> bool {
    kernel::read::<u64>(bprm, off!(bprm_interp)) == kernel::read::<u64>(bprm, off!(bprm_filename))
}

/// What the current task was last seen to be about to run. A thread that executes and is no leader stays the same task.
#[inline(always)]
fn about_to_run(create: u64) -> Option<&'static mut PlantKey> {
    // SAFETY: a typed task pointer; a created value is zeroed.
    let key: *mut PlantKey = unsafe {
        bpf_task_storage_get(
            addr_of!(SCRIPTS).cast_mut().cast(),
            kernel::current().cast_mut().cast(),
            null_mut(),
            create,
        )
    }
    .cast();
    // SAFETY: map value, alive for the program's run.
    if key.is_null() { None } else { Some(unsafe { &mut *key }) }
}

/// The same, which is forgotten: it runs by now. Without an inode if nothing is known.
#[inline(always)]
fn ran() -> PlantKey {
    about_to_run(0).map_or(NONE, |known| core::mem::replace(known, NONE))
}

/// `security_bprm_check(bprm)`: once for what is run, and once for each interpreter.
#[inline(always)]
pub fn checked(bprm: u64) {
    if !is_first(bprm) {
        return;
    }
    let session = scope::session_of(kernel::current());
    if session == 0 && (emit::state(State::PLANTED) == 0 || scope::mark_of(kernel::current()).is_some()) {
        return;
    }
    let file: u64 = kernel::read(bprm, off!(bprm_file));
    let key = deleg::plant_key(kernel::read(file, off!(file_inode)));
    // What a session runs is kept whoever wrote it: whether it is a script is known only with its interpreter.
    if session != 0 || PLANTED.get_ptr(&key).is_some() {
        if let Some(known) = about_to_run(1) {
            *known = key;
        }
    } else {
        // Of an exec before it that came to nothing.
        ran();
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
    let key = ran();
    let mut parent = 0;
    if key.ino != 0 {
        // SAFETY: copied at once.
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

/// What a session executed is the interpreter of a script: which one that was. Its name is what was passed; the inode is known where
/// the first question about it is seen.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn of_session(session: u64, bprm: u64) -> u32 {
    let PlantKey { ino, dev, .. } = ran();
    if is_first(bprm) {
        return 0;
    }
    let Some(mut event) = Event::new::<ScriptEvent>(Class::EXEC) else { return 0 };
    event.flags |= Flag::AS_PASSED;
    let name_len = event.kernel_str(kernel::read(bprm, off!(bprm_filename)));
    let path_len = event.path(Place::of_cwd(kernel::current()));
    let payload = ScriptEvent { ino, dev, name_len, path_len, reserved: 0 };
    u32::from(event.send(Kind::SCRIPT, Ring::CRITICAL, session, payload, 0))
}
