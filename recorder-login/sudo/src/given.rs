//! What sudo passes: lists of C strings, and the conversation with the person.
#![expect(unsafe_code, reason = "sudo is C")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    ptr,
};

use crate::approval::MAX_ENTRIES;

/// On standard error: standard output belongs to the command.
const SUDO_CONV_ERROR_MSG: c_int = 3;

/// `struct sudo_conv_message` (sudo_plugin.h).
#[repr(C)]
pub(crate) struct Message {
    style: c_int,
    timeout: c_int,
    text: *const c_char,
}

/// `struct sudo_conv_reply`.
#[repr(C)]
pub(crate) struct Reply {
    text: *mut c_char,
}

/// `sudo_conv_t`.
pub(crate) type Conversation = unsafe extern "C" fn(c_int, *const Message, *mut Reply, *mut c_void) -> c_int;

/// Shows a line.
pub(crate) fn say(conversation: Option<Conversation>, line: &str) {
    let (Some(talk), Ok(text)) = (conversation, CString::new(format!("{line}\n"))) else { return };
    let message = Message { style: SUDO_CONV_ERROR_MSG, timeout: 0, text: text.as_ptr() };
    let mut reply = Reply { text: ptr::null_mut() };
    // SAFETY: sudo's own function, given to `open`; one message and room for one reply, which outlive the call. A message
    // that asks nothing leaves no reply.
    unsafe { talk(1, &raw const message, &raw mut reply, ptr::null_mut()) };
}

/// A list that ends with null; what is behind [`MAX_ENTRIES`] is not looked at.
///
/// # Safety
/// `list` is null or such a list of C strings, and lives as long as what is given.
pub(crate) unsafe fn list<'a>(list: *const *const c_char) -> Vec<&'a [u8]> {
    // SAFETY: as promised to this function.
    unsafe { list_of(list, MAX_ENTRIES) }
}

/// As [`list`], with another limit: an environment may have many variables before ours.
///
/// # Safety
/// As [`list`].
pub(crate) unsafe fn list_of<'a>(list: *const *const c_char, limit: usize) -> Vec<&'a [u8]> {
    let mut found = Vec::new();
    if list.is_null() {
        return found;
    }
    for number in 0..limit {
        // SAFETY: no entry before this one was the null that ends the list.
        let place = unsafe { list.add(number) };
        // SAFETY: an entry, or the null behind the last.
        let entry = unsafe { *place };
        if entry.is_null() {
            break;
        }
        // SAFETY: entries are C strings by this function's contract.
        found.push(unsafe { CStr::from_ptr(entry) }.to_bytes());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_end_with_null_or_at_the_limit() {
        let words = [c"one".as_ptr(), c"two".as_ptr(), ptr::null(), c"behind".as_ptr()];
        // SAFETY: a list of C strings with a null.
        assert_eq!(unsafe { list(words.as_ptr()) }, [b"one", b"two"]);
        // SAFETY: as above.
        assert_eq!(unsafe { list_of(words.as_ptr(), 1) }, [b"one"]);
        // SAFETY: null is allowed.
        assert_eq!(unsafe { list(ptr::null()) }, [b""; 0]);
        let many = vec![c"a".as_ptr(); MAX_ENTRIES + 7];
        // SAFETY: the limit stops before the end of the list.
        assert_eq!(unsafe { list(many.as_ptr()) }.len(), MAX_ENTRIES);
    }
}
