//! The system calls that no web application needs: they administer the machine, look into other processes, or are known for
//! kernel holes. They fail with EPERM. What is left is about systemd's `@system-service`, without its `@keyring`.
//!
//! A list of what is denied, because a list of what is allowed would break programs with each new system call. Calls of another
//! architecture (32 bit programs) end the process, those of the x32 variant fail: they would be ways around the list.

use super::Failure;
use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;

/// Denied whatever the arguments.
const DENIED: &[libc::c_long] = &[
    // Mounts, and what stands on them.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_quotactl,
    libc::SYS_open_by_handle_at,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // The machine.
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_setns,
    // Parts of the kernel with a long history of holes.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Its operations are not seen by a filter.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[libc::c_long] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
];
#[cfg(target_arch = "aarch64")]
const DENIED_HERE: &[libc::c_long] = &[libc::SYS_kexec_file_load];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const DENIED_HERE: &[libc::c_long] = &[];

/// What makes clone(2) and unshare(2) make namespaces.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];
/// Bit in unshare(2) only; in clone(2) it belongs to the signal number.
const NEWTIME: libc::c_int = 0x80;

/// Sockets may be of these families; AF_PACKET, AF_VSOCK, AF_ALG and the rest are denied.
const FAMILIES: [libc::c_int; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// Marks the x32 variant of a call (x86-64 only, where the kernel was built with it).
const X32: libc::c_long = 0x4000_0000;
/// ptrace, kexec_load, process_vm_readv and process_vm_writev have numbers of their own there.
const X32_NUMBERS: [libc::c_long; 4] = [521, 528, 539, 540];

/// Also denied to the proxy, which starts no program and no process.
const NO_PROCESSES: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_unshare,
];

/// Who is restricted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    Worker,
    Proxy,
}

/// Installs the filter for this process and its descendants. Sets `no_new_privs`.
pub(super) fn restrict(profile: Profile) -> Result<(), Failure> {
    let programs = programs(profile).map_err(|error| Failure::new("seccomp", error))?;
    for program in &programs {
        seccompiler::apply_filter(program).map_err(|error| Failure::new("seccomp", error))?;
    }
    Ok(())
}

/// One program for what fails with EPERM, one for clone3(2): its flags are in memory, where a filter cannot look. With ENOSYS
/// the C library falls back to clone(2).
fn programs(profile: Profile) -> Result<[BpfProgram; 2], BackendError> {
    let mut denied: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in DENIED.iter().chain(DENIED_HERE) {
        denied.insert(*call, Vec::new());
    }
    let has_any = |flags: &[libc::c_int]| {
        flags
            .iter()
            .map(|flag| SeccompRule::new(vec![has(*flag)?]))
            .collect::<Result<Vec<_>, _>>()
    };
    denied.insert(libc::SYS_clone, has_any(&NAMESPACES)?);
    let unshare: Vec<libc::c_int> = NAMESPACES.into_iter().chain([NEWTIME]).collect();
    denied.insert(libc::SYS_unshare, has_any(&unshare)?);
    let foreign = FAMILIES
        .iter()
        .map(|family| argument(SeccompCmpOp::Ne, *family))
        .collect::<Result<Vec<_>, _>>()?;
    denied.insert(libc::SYS_socket, vec![SeccompRule::new(foreign)?]);
    if profile == Profile::Proxy {
        denied.extend(NO_PROCESSES.iter().map(|call| (*call, Vec::new())));
    }
    let missing = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    Ok([
        program(denied, libc::EPERM)?,
        program(missing, libc::ENOSYS)?,
    ])
}

fn program(
    mut rules: BTreeMap<i64, Vec<SeccompRule>>,
    error: libc::c_int,
) -> Result<BpfProgram, BackendError> {
    if cfg!(target_arch = "x86_64") {
        let own = X32_NUMBERS.iter().map(|call| (*call | X32, Vec::new()));
        let variants: Vec<_> = rules
            .iter()
            .map(|(call, rules)| (*call | X32, rules.clone()))
            .chain(own)
            .collect();
        rules.extend(variants);
    }
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(error.unsigned_abs()),
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}

/// The first argument, of which the kernel uses 32 bits, has this flag.
fn has(flag: libc::c_int) -> Result<SeccompCondition, BackendError> {
    let flag = u64::from(flag.unsigned_abs());
    SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(flag),
        flag,
    )
}

fn argument(operator: SeccompCmpOp, value: libc::c_int) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        operator,
        u64::from(value.unsigned_abs()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_fit_the_kernel() {
        for program in [Profile::Worker, Profile::Proxy]
            .map(|profile| programs(profile).expect("every supported architecture has them"))
            .concat()
        {
            // bpf(4): BPF_MAXINSNS.
            assert!(
                !program.is_empty() && program.len() <= 4096,
                "{}",
                program.len()
            );
        }
    }
}
