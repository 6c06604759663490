//! More entry points: `main.rs` is full.

use aya_ebpf::{
    macros::{fentry, fexit, tracepoint},
    programs::{FEntryContext, FExitContext, TracePointContext},
};

use crate::{args, change, file, kernel, send, socket, sys_exit};

/// Opens by a handle.
#[fexit(function = "do_file_open_root")]
fn file_open_root(ctx: FExitContext) -> i32 {
    let [root, name, op, ret] = args(&ctx);
    file::opened_at(root, name, op, ret);
    0
}

#[fexit(function = "udp_sendmsg")]
fn udp_sendmsg(ctx: FExitContext) -> i32 {
    let [sock, msg, _, ret] = args(&ctx);
    send::passed(sock, msg, ret as i32, false);
    0
}

#[fexit(function = "udpv6_sendmsg")]
fn udpv6_sendmsg(ctx: FExitContext) -> i32 {
    let [sock, msg, _, ret] = args(&ctx);
    send::passed(sock, msg, ret as i32, true);
    0
}

#[fexit(function = "raw_sendmsg")]
fn raw_sendmsg(ctx: FExitContext) -> i32 {
    let [sock, msg, _, ret] = args(&ctx);
    send::passed(sock, msg, ret as i32, false);
    0
}

#[fexit(function = "rawv6_sendmsg")]
fn rawv6_sendmsg(ctx: FExitContext) -> i32 {
    let [sock, msg, _, ret] = args(&ctx);
    send::passed(sock, msg, ret as i32, false);
    0
}

/// `unix_stream_sendmsg(socket, msg, len)`.
#[fentry(function = "unix_stream_sendmsg")]
fn unix_send(ctx: FEntryContext) -> i32 {
    socket::enters(args::<1>(&ctx)[0]);
    0
}

#[tracepoint]
fn sys_enter_send(_ctx: TracePointContext) -> u32 {
    socket::enters_call(kernel::current());
    0
}

#[tracepoint]
fn sys_exit_send(ctx: TracePointContext) -> u32 {
    let (id, ret) = sys_exit(&ctx);
    send::returned(id, ret);
    0
}

#[fexit(function = "vfs_fallocate")]
fn vfs_fallocate(ctx: FExitContext) -> i32 {
    let [file, mode, offset, len, ret] = args(&ctx);
    change::allocated(file, mode, offset, len, ret as i32);
    0
}
