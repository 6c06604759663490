//! Positions of the kernel struct members that the programs read: declared once, for both sides.

macro_rules! offsets {
    ($($field:ident: $strukt:literal . $member:literal $(or $alt:literal)?;)*) => {
        /// Byte offsets, filled by the loader from the running kernel's BTF. `u32::MAX` = this kernel has no such
        /// member.
        #[derive(Clone, Copy, Debug)]
        #[repr(C)]
        pub struct Offsets { $(#[doc = concat!("`", $strukt, ".", $member, "`")] pub $field: u32,)* }
        impl Offsets {
            /// All offsets unknown.
            pub const UNKNOWN: Self = Self { $($field: u32::MAX,)* };
            /// The offsets in the order of [`MEMBERS`].
            pub fn set(&mut self, index: usize, offset: u32) {
                let mut at = 0;
                $(if at == index { self.$field = offset; } at += 1;)*
                let _ = at;
            }
        }
        /// What to look up, in the order of [`Offsets::set`].
        pub const MEMBERS: &[Member] = &[$(Member {
            strukt: $strukt, names: &[$member $(, $alt)?],
        },)*];
    };
}

/// A member of a kernel struct; dotted names descend, the first name that exists counts.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Struct name.
    pub strukt: &'static str,
    /// Alternatives, newest kernel last.
    pub names: &'static [&'static str],
}

offsets! {
    regs_di: "pt_regs"."di";
    regs_si: "pt_regs"."si";
    regs_dx: "pt_regs"."dx";
    regs_r10: "pt_regs"."r10";
    regs_r8: "pt_regs"."r8";
    regs_call: "pt_regs"."orig_ax";
    task_pid: "task_struct"."pid";
    task_tgid: "task_struct"."tgid";
    task_cred: "task_struct"."cred";
    task_mm: "task_struct"."mm";
    task_fs: "task_struct"."fs";
    task_files: "task_struct"."files";
    task_signal: "task_struct"."signal";
    task_leader: "task_struct"."group_leader";
    task_parent: "task_struct"."real_parent";
    task_start: "task_struct"."start_boottime" or "real_start_time";
    task_loginuid: "task_struct"."loginuid";
    task_sessionid: "task_struct"."sessionid";
    task_comm: "task_struct"."comm";
    task_exit_code: "task_struct"."exit_code";
    task_personality: "task_struct"."personality";
    cred_uid: "cred"."uid";
    cred_gid: "cred"."gid";
    cred_suid: "cred"."suid";
    cred_sgid: "cred"."sgid";
    cred_euid: "cred"."euid";
    cred_egid: "cred"."egid";
    cred_fsuid: "cred"."fsuid";
    cred_fsgid: "cred"."fsgid";
    cred_permitted: "cred"."cap_permitted";
    cred_effective: "cred"."cap_effective";
    cred_user_ns: "cred"."user_ns";
    user_ns_level: "user_namespace"."level";
    user_ns_uid_map: "user_namespace"."uid_map";
    uid_map_nr: "uid_gid_map"."nr_extents";
    uid_map_count: "uid_gid_map"."extent.count";
    task_cgroups: "task_struct"."cgroups";
    css_set_cgroup: "css_set"."dfl_cgrp";
    cgroup_node: "cgroup"."kn";
    kernfs_id: "kernfs_node"."id";
    sock_family: "sock"."__sk_common.skc_family";
    sock_state: "sock"."__sk_common.skc_state";
    sock_type: "sock"."sk_type";
    sock_protocol: "sock"."sk_protocol";
    sock_saddr: "sock"."__sk_common.skc_rcv_saddr";
    sock_daddr: "sock"."__sk_common.skc_daddr";
    sock_saddr6: "sock"."__sk_common.skc_v6_rcv_saddr";
    sock_daddr6: "sock"."__sk_common.skc_v6_daddr";
    sock_num: "sock"."__sk_common.skc_num";
    sock_dport: "sock"."__sk_common.skc_dport";
    socket_sk: "socket"."sk";
    msghdr_name: "msghdr"."msg_name";
    sock_queue: "sock"."sk_receive_queue";
    sock_queue_last: "sock"."sk_receive_queue.prev";
    sock_peer: "sock"."sk_peer_pid";
    sock_socket: "sock"."sk_socket";
    socket_inode: "socket_alloc"."vfs_inode";
    unix_addr: "unix_sock"."addr";
    unix_peer: "unix_sock"."peer";
    unix_name_len: "unix_address"."len";
    unix_name: "unix_address"."name";
    skb_len: "sk_buff"."len";
    skb_data_len: "sk_buff"."data_len";
    skb_data: "sk_buff"."data";
    skb_cb: "sk_buff"."cb";
    unix_parms_fp: "unix_skb_parms"."fp";
    fp_list_count: "scm_fp_list"."count";
    fp_list_files: "scm_fp_list"."fp";
    inode_generation: "inode"."i_generation";
    mm_arg_start: "mm_struct"."arg_start";
    mm_arg_end: "mm_struct"."arg_end";
    mm_exe_file: "mm_struct"."exe_file";
    signal_live: "signal_struct"."live";
    signal_tty: "signal_struct"."tty";
    signal_flags: "signal_struct"."flags";
    signal_group_exit_code: "signal_struct"."group_exit_code";
    signal_pids: "signal_struct"."pids";
    signal_leader: "signal_struct"."leader";
    pid_numbers: "pid"."numbers";
    pid_level: "pid"."level";
    task_thread_pid: "task_struct"."thread_pid";
    task_nsproxy: "task_struct"."nsproxy";
    nsproxy_mnt: "nsproxy"."mnt_ns";
    nsproxy_cgroup: "nsproxy"."cgroup_ns";
    mnt_ns_inum: "mnt_namespace"."ns.inum";
    pid_ns_inum: "pid_namespace"."ns.inum";
    user_ns_inum: "user_namespace"."ns.inum";
    cgroup_ns_inum: "cgroup_namespace"."ns.inum";
    kernfs_parent: "kernfs_node"."__parent" or "parent";
    kernfs_name: "kernfs_node"."name";
    bprm_file: "linux_binprm"."file";
    bprm_argc: "linux_binprm"."argc";
    bprm_filename: "linux_binprm"."filename";
    bprm_interp: "linux_binprm"."interp";
    bprm_secureexec: "linux_binprm"."secureexec";
    file_path_dentry: "file"."f_path.dentry";
    file_path_mnt: "file"."f_path.mnt";
    file_inode: "file"."f_inode";
    file_flags: "file"."f_flags";
    file_mode: "file"."f_mode";
    file_private: "file"."private_data";
    fs_pwd_dentry: "fs_struct"."pwd.dentry";
    fs_pwd_mnt: "fs_struct"."pwd.mnt";
    files_fdt: "files_struct"."fdt";
    fdt_fd: "fdtable"."fd";
    fdt_max: "fdtable"."max_fds";
    path_dentry: "path"."dentry";
    path_mnt: "path"."mnt";
    dentry_parent: "dentry"."d_parent";
    dentry_name: "dentry"."d_name.name";
    dentry_short: "dentry"."d_iname" or "d_shortname";
    dentry_inode: "dentry"."d_inode";
    dentry_hash_pprev: "dentry"."d_hash.pprev";
    inode_ino: "inode"."i_ino";
    inode_nlink: "inode"."i_nlink";
    inode_mode: "inode"."i_mode";
    inode_rdev: "inode"."i_rdev";
    inode_private: "inode"."i_private";
    inode_sb: "inode"."i_sb";
    sb_dev: "super_block"."s_dev";
    sb_magic: "super_block"."s_magic";
    proc_inode: "proc_inode"."vfs_inode";
    proc_pid: "proc_inode"."pid";
    pid_tasks: "pid"."tasks";
    task_pid_links: "task_struct"."pid_links";
    map_id: "bpf_map"."id";
    dentry_sb: "dentry"."d_sb";
    mnt_sb: "vfsmount"."mnt_sb";
    attr_valid: "iattr"."ia_valid";
    attr_mode: "iattr"."ia_mode";
    attr_uid: "iattr"."ia_uid";
    attr_gid: "iattr"."ia_gid";
    attr_atime: "iattr"."ia_atime";
    attr_mtime: "iattr"."ia_mtime";
    vma_file: "vm_area_struct"."vm_file";
    acl_count: "posix_acl"."a_count";
    acl_entries: "posix_acl"."a_entries";
    mount_mnt: "mount"."mnt";
    mount_parent: "mount"."mnt_parent";
    mount_mountpoint: "mount"."mnt_mountpoint";
    mnt_root: "vfsmount"."mnt_root";
    filename_name: "filename"."name";
    open_flags_flag: "open_flags"."open_flag";
    open_flags_lookup: "open_flags"."lookup_flags";
    rename_old_dentry: "renamedata"."old_dentry";
    rename_new_dentry: "renamedata"."new_dentry";
    rename_flags: "renamedata"."flags";
    tty_file_tty: "tty_file_private"."tty";
    tty_driver: "tty_struct"."driver";
    tty_index: "tty_struct"."index";
    tty_link: "tty_struct"."link";
    tty_winsize: "tty_struct"."winsize";
    tty_termios_lflag: "tty_struct"."termios.c_lflag";
    tty_session: "tty_struct"."ctrl.session" or "session";
    tty_pgrp: "tty_struct"."ctrl.pgrp" or "pgrp";
    driver_subtype: "tty_driver"."subtype";
    driver_type: "tty_driver"."type";
    driver_major: "tty_driver"."major";
    driver_minor_start: "tty_driver"."minor_start";
}
