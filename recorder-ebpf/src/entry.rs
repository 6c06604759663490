//! More entry points: `main.rs` is full.

use aya_ebpf::{
    macros::{fexit, tracepoint},
    programs::{FExitContext, TracePointContext},
};

use crate::{args, change, file, send, sys_exit};

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
