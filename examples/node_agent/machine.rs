//! The processes of this machine, as `/proc` shows them.

use std::fs;
use std::io;

/// A process, as it was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) command: String,
    /// Resident memory in KiB; kernel threads have none.
    pub(crate) resident_kib: u64,
    pub(crate) cgroup: String,
    /// The pod it belongs to, on a machine of Kubernetes.
    pub(crate) pod: Option<String>,
}

/// The numbers of all processes, in rising order.
pub(crate) fn pids() -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        pids.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    pids.sort_unstable();
    Ok(pids)
}

/// One file of a process.
pub(crate) fn read(pid: u32, file: &str) -> io::Result<String> {
    let bytes = fs::read(format!("/proc/{pid}/{file}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The number behind a key in the text of a `status` file: `VmRSS:     1234 kB`.
pub(crate) fn number(status: &str, key: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(key))?;
    let text = rest.strip_prefix(':')?.split_whitespace().next()?;
    text.parse().ok()
}

/// The group of a process, from its `cgroup` file: that of version 2 where there is one.
pub(crate) fn group(cgroup: &str) -> &str {
    let unified = cgroup.lines().find_map(|line| line.strip_prefix("0::"));
    let first = || cgroup.lines().next()?.splitn(3, ':').nth(2);
    unified.or_else(first).unwrap_or_default()
}

/// The pod in the name of a group: `.../kubepods-burstable-pod<UID>.slice/...` by systemd, with `_` for `-`, or
/// `/kubepods/burstable/pod<UID>/...`.
pub(crate) fn pod(group: &str) -> Option<String> {
    let part = group
        .split('/')
        .skip_while(|part| !part.starts_with("kubepods"))
        .find_map(|part| {
            let at = part.rfind("pod").filter(|at| *at > 0);
            let under = part.starts_with("kubepods");
            match (under, at) {
                (true, Some(at)) => part.get(at..)?.strip_prefix("pod"),
                (true, None) => None,
                (false, _) => part.strip_prefix("pod"),
            }
        })?;
    let uid = part.trim_end_matches(".slice").replace('_', "-");
    let plain = |c: char| c.is_ascii_hexdigit() || c == '-';
    (uid.len() >= 32 && uid.chars().all(plain)).then_some(uid)
}
