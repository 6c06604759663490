//! What libpam gives a module. Its functions are resolved in the program that loads us, so building needs no libpam.
#![expect(unsafe_code, reason = "libpam is C")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    marker::PhantomData,
    ptr,
};

use crate::module::{Host, Item, Style};

/// More of a text is not looked at; keys are the longest, and the protocol takes less.
const MAX_TEXT: usize = 256 * 1024;
const PAM_CONV: c_int = 5;
const PAM_SUCCESS: c_int = 0;

/// libpam's own.
#[repr(C)]
pub struct PamHandle {
    _private: [u8; 0],
}

/// `struct pam_message` (security/_pam_types.h).
#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

/// `struct pam_response`.
#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

/// `struct pam_conv`.
#[repr(C)]
struct Conversation {
    talk: Option<unsafe extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int>,
    data: *mut c_void,
}

unsafe extern "C" {
    fn pam_get_item(pamh: *const PamHandle, item: c_int, value: *mut *const c_void) -> c_int;
    fn pam_getenv(pamh: *mut PamHandle, name: *const c_char) -> *const c_char;
}

/// A living handle.
pub(crate) struct Handle<'a> {
    raw: *mut PamHandle,
    life: PhantomData<&'a PamHandle>,
}

impl Handle<'_> {
    /// # Safety
    /// The handle is libpam's, and lives as long as this one.
    pub(crate) unsafe fn new(raw: *mut PamHandle) -> Self {
        Self { raw, life: PhantomData }
    }

    fn get(&self, item: c_int) -> *const c_void {
        let mut value = ptr::null();
        // SAFETY: the handle lives (`new`); `value` outlives the call.
        let r = unsafe { pam_get_item(self.raw, item, &raw mut value) };
        if r == PAM_SUCCESS { value } else { ptr::null() }
    }
}

impl Host for Handle<'_> {
    fn item(&self, item: Item) -> Option<Vec<u8>> {
        // SAFETY: all of `Item` are C strings, which live until the item is set anew; they are copied at once.
        unsafe { copy(self.get(item.number()).cast()) }
    }

    fn environment(&self, name: &CStr) -> Option<Vec<u8>> {
        // SAFETY: the handle lives (`new`), the name is a C string.
        let value = unsafe { pam_getenv(self.raw, name.as_ptr()) };
        // SAFETY: libpam gives a C string of its own that lives until the variable changes; it is copied at once.
        unsafe { copy(value) }
    }

    fn say(&self, style: Style, line: &str) {
        let conversation: *const Conversation = self.get(PAM_CONV).cast();
        // SAFETY: the item PAM_CONV is a pam_conv of the program, or not set.
        let Some(conversation) = (unsafe { conversation.as_ref() }) else { return };
        let (Some(talk), Ok(text)) = (conversation.talk, CString::new(line)) else { return };
        let message = Message { style: style.number(), text: text.as_ptr() };
        let mut messages: *const Message = &raw const message;
        let mut response: *mut Response = ptr::null_mut();
        // SAFETY: one message, which outlives the call; the program may leave one response, made by malloc.
        let r = unsafe { talk(1, &raw mut messages, &raw mut response, conversation.data) };
        if r == PAM_SUCCESS && !response.is_null() {
            // SAFETY: a successful conversation left one response.
            let answer = unsafe { (*response).text };
            // SAFETY: the text is made by malloc, or null, and ours to free (pam_conv(3)).
            unsafe { libc::free(answer.cast()) };
            // SAFETY: likewise the response.
            unsafe { libc::free(response.cast()) };
        }
    }
}

/// # Safety
/// `text` is null or a C string that lives during the call.
unsafe fn copy(text: *const c_char) -> Option<Vec<u8>> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, and a C string by this function's contract.
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    Some(bytes.get(..MAX_TEXT).unwrap_or(bytes).to_vec())
}

/// A module's arguments.
///
/// # Safety
/// `argv` has `argc` C strings that live as long as what is given.
pub(crate) unsafe fn words<'a>(argc: c_int, argv: *const *const c_char) -> Vec<&'a [u8]> {
    let count = if argv.is_null() { 0 } else { usize::try_from(argc).unwrap_or(0) };
    (0..count)
        .filter_map(|number| {
            // SAFETY: `number` is below `argc`.
            let place = unsafe { argv.add(number) };
            // SAFETY: a pointer of the list.
            let word = unsafe { *place };
            // SAFETY: not null here, and a C string by this function's contract.
            (!word.is_null()).then(|| unsafe { CStr::from_ptr(word) }.to_bytes())
        })
        .collect()
}
