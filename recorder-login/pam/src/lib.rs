//! PAM module: asks the recorder whether a person may elevate (sudo, su), and tells it who logs in with which key (sshd,
//! login). docs/operations.md says where it stands in a stack; docs/control.md is the protocol.
//!
//! It can say no and never yes: whatever is not a refusal is `PAM_IGNORE`, which leaves the decision to the other modules.
//! `unsafe` is in this file (the ABI) and in `handle` (what libpam gives); the rest is in `module`.
#![deny(unsafe_code)]

// Unit tests are programs of their own, in which nobody provides libpam.
#[cfg(not(test))]
mod handle;
mod module;

#[cfg(not(test))]
pub use abi::*;

#[cfg(not(test))]
mod abi {
    #![expect(unsafe_code, reason = "the names and the ABI that libpam loads")]

    use std::ffi::{c_char, c_int};

    use recorder_ask::{Caller, Options, ask, guarded};

    use crate::{
        handle::{Handle, PamHandle, words},
        module::{self, PAM_IGNORE},
    };

    /// May this person elevate?
    ///
    /// # Safety
    /// Only libpam calls it, with a living handle and `argc` arguments.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn pam_sm_acct_mgmt(
        pamh: *mut PamHandle,
        _flags: c_int,
        argc: c_int,
        argv: *const *const c_char,
    ) -> c_int {
        guarded(PAM_IGNORE, || {
            // SAFETY: libpam's handle lives during the call.
            let handle = unsafe { Handle::new(pamh) };
            // SAFETY: libpam gives `argc` C strings, which live during the call.
            let options = Options::parse(unsafe { words(argc, argv) });
            module::account(&handle, &options, &Caller::current(), |question| ask(&options, question))
        })
    }

    /// A login begins.
    ///
    /// # Safety
    /// As `pam_sm_acct_mgmt`.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn pam_sm_open_session(
        pamh: *mut PamHandle,
        _flags: c_int,
        argc: c_int,
        argv: *const *const c_char,
    ) -> c_int {
        guarded(PAM_IGNORE, || {
            // SAFETY: libpam's handle lives during the call.
            let handle = unsafe { Handle::new(pamh) };
            // SAFETY: libpam gives `argc` C strings, which live during the call.
            let options = Options::parse(unsafe { words(argc, argv) });
            module::session(&handle, &options, &Caller::current(), |question| ask(&options, question))
        })
    }

    /// Nothing: the kernel tells the recorder when a session ends.
    #[unsafe(no_mangle)]
    pub extern "C" fn pam_sm_close_session(
        _pamh: *mut PamHandle,
        _flags: c_int,
        _argc: c_int,
        _argv: *const *const c_char,
    ) -> c_int {
        PAM_IGNORE
    }

    /// Nothing: the recorder proves nobody's identity.
    #[unsafe(no_mangle)]
    pub extern "C" fn pam_sm_authenticate(
        _pamh: *mut PamHandle,
        _flags: c_int,
        _argc: c_int,
        _argv: *const *const c_char,
    ) -> c_int {
        PAM_IGNORE
    }

    /// Nothing.
    #[unsafe(no_mangle)]
    pub extern "C" fn pam_sm_setcred(
        _pamh: *mut PamHandle,
        _flags: c_int,
        _argc: c_int,
        _argv: *const *const c_char,
    ) -> c_int {
        PAM_IGNORE
    }
}
