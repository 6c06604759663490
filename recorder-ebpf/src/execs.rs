//! Entry points about what is to be run, beyond the exec itself (`main.rs`): what is asked before it, what fails, and what is mapped
//! to be executed without it.

use aya_ebpf::{
    macros::{fentry, fexit, lsm, tracepoint},
    programs::{FEntryContext, FExitContext, LsmContext, TracePointContext},
};

use crate::{args, failed, gate, mapped, script, sys_exit};

/// `bprm_check_security(bprm)`: before the point of no return, so the caller gets an error that he can show.
#[lsm(hook = "bprm_check_security")]
fn gate_exec(ctx: LsmContext) -> i32 {
    let [bprm] = args(&ctx);
    gate::check(bprm)
}

#[fentry(function = "security_bprm_check")]
fn bprm_check(ctx: FEntryContext) -> i32 {
    script::checked(args::<1>(&ctx)[0]);
    0
}

#[tracepoint]
fn sys_exit_exec(ctx: TracePointContext) -> u32 {
    let (id, ret) = sys_exit(&ctx);
    failed::returned(id, ret);
    0
}

/// `vm_mmap_pgoff(file, addr, len, prot, flag, pgoff)`: mmap of every width, and what an exec maps.
#[fexit(function = "vm_mmap_pgoff")]
fn vm_mmap(ctx: FExitContext) -> i32 {
    let [file, _, _, prot, _, _, ret] = args(&ctx);
    mapped::mapped(file, prot, ret as i64);
    0
}

/// `security_file_mprotect(vma, reqprot, prot)`: the last question before a mapping is changed.
#[fexit(function = "security_file_mprotect")]
fn file_mprotect(ctx: FExitContext) -> i32 {
    let [vma, _, prot, ret] = args(&ctx);
    mapped::protected(vma, prot, ret as i32);
    0
}

#[tracepoint]
fn sys_exit_mmap(ctx: TracePointContext) -> u32 {
    mapped::sys_exit_mmap(sys_exit(&ctx).1);
    0
}
