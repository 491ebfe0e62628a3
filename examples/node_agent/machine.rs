//! The processes of this machine, as `/proc` shows them.

use std::fs;
use std::io;
use std::path::PathBuf;

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

/// A mounted procfs: that of this machine, or of the host when a container has it elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Proc(pub(crate) PathBuf);

impl Proc {
    /// The numbers of all processes, in rising order.
    pub(crate) fn pids(&self) -> io::Result<Vec<u32>> {
        let mut pids = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            pids.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
        }
        pids.sort_unstable();
        Ok(pids)
    }

    /// One file of a process.
    pub(crate) fn read(&self, pid: u32, file: &str) -> io::Result<String> {
        let bytes = fs::read(self.0.join(pid.to_string()).join(file))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
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
    let parts = group.split('/');
    let mut of_pods = parts.skip_while(|part| !part.starts_with("kubepods"));
    of_pods.find_map(|part| {
        let by_systemd = || Some(part.strip_prefix("kubepods")?.rsplit_once("-pod")?.1);
        let uid = part.strip_prefix("pod").or_else(by_systemd)?;
        let uid = uid.trim_end_matches(".slice").replace('_', "-");
        let plain = |c: char| c.is_ascii_hexdigit() || c == '-';
        (uid.len() >= 32 && uid.chars().all(plain)).then_some(uid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "5c1d7f0e-2b3a-4c5d-8e9f-0123456789ab";

    #[test]
    fn a_pod_is_found_in_the_name_of_a_group() {
        let systemd = UID.replace('-', "_");
        for group in [
            format!("/kubepods/burstable/pod{UID}/0123abcd"),
            format!("/kubepods/pod{UID}"),
            format!("/kubepods.slice/kubepods-pod{systemd}.slice/cri-containerd-0123abcd.scope"),
            format!(
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{systemd}.slice/x"
            ),
        ] {
            assert_eq!(pod(&group).as_deref(), Some(UID), "{group}");
        }
        for group in [
            "",
            "/",
            "/kubepods",
            "/kubepods/pod",
            "/kubepods/podman",
            "/system.slice/podman.service",
            "/user.slice/kubepods-podé",
        ] {
            assert_eq!(pod(group), None, "{group}");
        }
    }

    #[test]
    fn groups_and_numbers_are_read() {
        assert_eq!(group("12:cpu:/a\n0::/b\n"), "/b");
        assert_eq!(group("12:cpu:/a:c\n11:memory:/d\n"), "/a:c");
        assert_eq!(group("nonsense"), "");
        let status = "Name:\tinit\nVmRSS:\t    1234 kB\nVmHWM:\n";
        assert_eq!(number(status, "VmRSS"), Some(1234));
        assert_eq!(number(status, "VmHWM"), None);
        assert_eq!(number(status, "Vm"), None);
    }
}
