//! A message to a manager before it is queued.
//!
//! Between the queueing and the call that tells of it the sender may stand still for as long as the scheduler likes, and a receiver that
//! is at work already reads and acts. So a manager is looked at from here on, and the request says since when it was on its way.

use crate::{
    emit,
    kernel::{self, Args, TaskPtr, off},
    maps::SENDING,
    scope, send,
};

/// `unix_stream_sendmsg(socket, …)`, which connections of packets have too.
#[inline(always)]
pub fn enters(socket: u64) {
    let session = scope::session_of(kernel::current());
    if session != 0 {
        of_socket(kernel::read(socket, off!(socket_sk)), session);
    }
}

/// `sys_enter_write`, `writev`, `sendto`, `sendmsg`, `sendmmsg`.
#[inline(always)]
pub fn enters_call(task: TaskPtr) {
    let session = scope::session_of(task);
    if session != 0 {
        of_socket(send::sock_of(task, Args::new(task).first()), session);
    }
}

/// A global function: two programs have it, and the name of a socket its own stack.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn of_socket(sk: u64, session: u64) -> u32 {
    let family: u16 = kernel::read(sk, off!(sock_family));
    let kind: u16 = kernel::read(sk, off!(sock_type));
    if sk == 0 || family != super::AF_UNIX || kind != super::SOCK_STREAM {
        return 0;
    }
    let Some(name) = super::name_of(kernel::read(sk, off!(unix_peer))) else { return 0 };
    let me = emit::thread();
    if !super::arm(&name, session, me) {
        return 0;
    }
    let _ = SENDING.insert(&me, &emit::now(), 0);
    1
}

/// True if the message of that thread is on its way and not told of yet.
#[inline(always)]
pub fn is_sending(thread: u64) -> bool {
    // SAFETY: nothing is read of it.
    thread != 0 && unsafe { SENDING.get(&thread) }.is_some()
}

/// Since when the current task's message was on its way; 0 if that is not known.
#[inline(always)]
pub fn since() -> u64 {
    // SAFETY: copied at once.
    unsafe { SENDING.get(&emit::thread()) }.copied().unwrap_or(0)
}

/// The current task's message is told of. Most go to no manager, and a look costs less than taking away what is not there.
#[inline(always)]
pub fn over() {
    let me = emit::thread();
    if is_sending(me) {
        let _ = SENDING.remove(&me);
    }
}
