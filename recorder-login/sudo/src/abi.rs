//! The symbol that sudo looks for, and its functions (sudo_plugin(5), Approval plugin API).
#![expect(unsafe_code, reason = "the name and the ABI that sudo loads")]

use std::{
    ffi::{c_char, c_int, c_uint, c_void},
    sync::{Mutex, PoisonError},
};

use recorder_ask::{Caller, Options, ask, guarded};

use crate::{
    approval::Opened,
    given::{Conversation, list, list_of, say},
};

const SUDO_APPROVAL_PLUGIN: c_uint = 4;
/// 1.15: the first with approval plugins (sudo 1.9.0). sudo compares the major number.
const API_VERSION: c_uint = (1 << 16) | 15;
/// Variables of the person's environment that are looked at.
const MAX_ENVIRONMENT: usize = 10_000;

const GOES_ON: c_int = 1;
const REFUSED: c_int = 0;

type List = *const *const c_char;

/// `struct approval_plugin` (sudo_plugin.h).
#[repr(C)]
pub struct ApprovalPlugin {
    kind: c_uint,
    version: c_uint,
    open: unsafe extern "C" fn(
        c_uint,
        Option<Conversation>,
        *const c_void,
        List,
        List,
        c_int,
        List,
        List,
        List,
        *mut *const c_char,
    ) -> c_int,
    close: extern "C" fn(),
    check: unsafe extern "C" fn(List, List, List, *mut *const c_char) -> c_int,
    show_version: extern "C" fn(c_int) -> c_int,
}

/// What sudo loads.
#[unsafe(no_mangle)]
pub static recorder_approval: ApprovalPlugin =
    ApprovalPlugin { kind: SUDO_APPROVAL_PLUGIN, version: API_VERSION, open, close, check, show_version };

/// From `open` to `close`; `check` may come several times between them.
static STATE: Mutex<State> = Mutex::new(State { conversation: None, opened: None });

struct State {
    conversation: Option<Conversation>,
    opened: Option<Opened>,
}

/// Never refuses: what goes wrong here shows at `check`.
///
/// # Safety
/// Only sudo calls it, with lists that end with null.
unsafe extern "C" fn open(
    _version: c_uint,
    conversation: Option<Conversation>,
    _printf: *const c_void,
    settings: List,
    user_info: List,
    _submit_optind: c_int,
    _submit_argv: List,
    submit_environment: List,
    plugin_options: List,
    _errstr: *mut *const c_char,
) -> c_int {
    guarded(GOES_ON, || {
        // SAFETY: a list of sudo's, which lives during the call.
        let options = Options::parse(unsafe { list(plugin_options) });
        // SAFETY: likewise.
        let settings = unsafe { list(settings) };
        // SAFETY: likewise.
        let user_info = unsafe { list(user_info) };
        // SAFETY: likewise.
        let environment = unsafe { list_of(submit_environment, MAX_ENVIRONMENT) };
        let opened = Opened::new(options, &settings, &user_info, &environment);
        *STATE.lock().unwrap_or_else(PoisonError::into_inner) = State { conversation, opened: Some(opened) };
        GOES_ON
    })
}

extern "C" fn close() {
    guarded((), || {
        *STATE.lock().unwrap_or_else(PoisonError::into_inner) = State { conversation: None, opened: None };
    });
}

/// # Safety
/// Only sudo calls it, with lists that end with null.
unsafe extern "C" fn check(
    command_info: List,
    argv: List,
    _environment: List,
    _errstr: *mut *const c_char,
) -> c_int {
    guarded(GOES_ON, || {
        // SAFETY: a list of sudo's, which lives during the call.
        let command_info = unsafe { list(command_info) };
        // SAFETY: likewise.
        let argv = unsafe { list(argv) };
        let state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = state.opened.clone().unwrap_or_default();
        let decision = opened.check(&Caller::current(), &command_info, &argv, ask);
        for line in &decision.lines {
            say(state.conversation, line);
        }
        if decision.allowed { GOES_ON } else { REFUSED }
    })
}

extern "C" fn show_version(_verbose: c_int) -> c_int {
    guarded(GOES_ON, || {
        let conversation = STATE.lock().unwrap_or_else(PoisonError::into_inner).conversation;
        say(conversation, concat!("Recorder approval plugin version ", env!("CARGO_PKG_VERSION")));
        GOES_ON
    })
}
