//! How much memory there is.

use core::fmt;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The memory that this process may use.
///
/// ```no_run
/// use std::path::Path;
/// use spanwire_transport::config::collector::Memory;
///
/// let memory = Memory::under(Path::new("/"))?;
/// println!("{} bytes, by {}", memory.bytes, memory.source);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// In bytes.
    pub bytes: u64,
    /// What bounds it.
    pub source: MemorySource,
}

/// What bounds the memory of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemorySource {
    /// `memory.max` of its cgroup, or of one around it.
    CgroupV2,
    /// `memory.limit_in_bytes` of its cgroup, or of one around it.
    CgroupV1,
    /// What the machine has: no cgroup allows less.
    Machine,
}

impl fmt::Display for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CgroupV2 => "its cgroup (v2)",
            Self::CgroupV1 => "its cgroup (v1)",
            Self::Machine => "the machine",
        })
    }
}

impl Memory {
    /// The memory that this process may use on the system whose root directory is `root`: the least of what its cgroup, the
    /// groups around it, and the machine have. Read are `proc/self/cgroup`, `proc/meminfo` and files under `sys/fs/cgroup`; in a
    /// container that is shown its own group as the root of them, that group.
    ///
    /// # Errors
    ///
    /// Those of reading `proc/meminfo`, and files that hold no number. A cgroup that is not shown counts as none.
    pub fn under(root: &Path) -> io::Result<Self> {
        let machine = Self {
            bytes: machine(&root.join("proc/meminfo"))?,
            source: MemorySource::Machine,
        };
        let groups = absent_is_none(fs::read_to_string(root.join("proc/self/cgroup")))?;
        let groups = groups.unwrap_or_default();
        let mount = root.join("sys/fs/cgroup");
        let mut least = machine;
        // Each line: a number, controllers joined by commas, the group; v2 has no controllers.
        for line in groups.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
                continue;
            };
            let (source, mount, file) = if controllers.is_empty() {
                // Beside v1, v2 stands in a directory of its own and controls no memory.
                (MemorySource::CgroupV2, mount.clone(), "memory.max")
            } else if controllers.split(',').any(|name| name == "memory") {
                (
                    MemorySource::CgroupV1,
                    mount.join("memory"),
                    "memory.limit_in_bytes",
                )
            } else {
                continue;
            };
            if let Some(bytes) = least_of(&mount, group, file)?.filter(|bytes| *bytes < least.bytes)
            {
                least = Self { bytes, source };
            }
        }
        Ok(least)
    }
}

/// The least that a group and those around it allow; `None` if none of them says.
fn least_of(mount: &Path, group: &str, file: &str) -> io::Result<Option<u64>> {
    let mut directory = mount.to_path_buf();
    let names = Path::new(group).components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        _ => None,
    });
    let mut least: Option<u64> = None;
    let mut names = names.peekable();
    loop {
        if let Some(bytes) = limit(&directory.join(file))? {
            least = Some(least.map_or(bytes, |least| least.min(bytes)));
        }
        let Some(name) = names.next() else {
            return Ok(least);
        };
        directory.push(name);
    }
}

fn limit(file: &PathBuf) -> io::Result<Option<u64>> {
    let Some(text) = absent_is_none(fs::read_to_string(file))? else {
        return Ok(None);
    };
    match text.trim() {
        "max" | "-1" => Ok(None),
        number => number.parse().map(Some).map_err(|_| no_number(file)),
    }
}

fn machine(file: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    total
        .and_then(|total| total.trim().strip_suffix("kB")?.trim().parse().ok())
        .and_then(|kibibytes: u64| kibibytes.checked_mul(1024))
        .ok_or_else(|| no_number(file))
}

fn absent_is_none(read: io::Result<String>) -> io::Result<Option<String>> {
    match read {
        Ok(text) => Ok(Some(text)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn no_number(file: &Path) -> io::Error {
    let message = format!("{} does not say how much memory there is", file.display());
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A root directory with these files, gone when it is dropped.
    struct Root(PathBuf);

    impl Root {
        fn with(files: &[(&str, &str)]) -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!(
                "spanwire-cgroup-{}-{}",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            );
            let root = Self(std::env::temp_dir().join(name));
            for (file, text) in files {
                let file = root.0.join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
            }
            root
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const MEMINFO: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:       16384000 kB\nMemFree:  1 kB\n",
    );
    const MACHINE: u64 = 16_384_000 * 1024;

    #[test]
    fn the_least_of_the_groups_around_a_process_counts() {
        use MemorySource::{CgroupV1, CgroupV2, Machine};
        let own = ("proc/self/cgroup", "0::/kubepods/pod1/c1\n");
        let v1 = (
            "proc/self/cgroup",
            "5:cpu,cpuacct:/a\n4:memory:/kubepods/pod1\n0::/system.slice\n",
        );
        for (files, bytes, source) in [
            (vec![], MACHINE, Machine),
            (vec![own], MACHINE, Machine),
            (
                vec![own, ("sys/fs/cgroup/kubepods/pod1/c1/memory.max", "1000\n")],
                1000,
                CgroupV2,
            ),
            (
                vec![
                    own,
                    ("sys/fs/cgroup/kubepods/pod1/c1/memory.max", "max\n"),
                    ("sys/fs/cgroup/kubepods/pod1/memory.max", "3000\n"),
                    ("sys/fs/cgroup/kubepods/memory.max", "5000\n"),
                ],
                3000,
                CgroupV2,
            ),
            // In a container with a namespace of its own.
            (
                vec![
                    ("proc/self/cgroup", "0::/\n"),
                    ("sys/fs/cgroup/memory.max", "2000\n"),
                ],
                2000,
                CgroupV2,
            ),
            // A group that is named from outside, of which only the root is shown.
            (
                vec![
                    ("proc/self/cgroup", "0::/../../pod1\n"),
                    ("sys/fs/cgroup/memory.max", "2000\n"),
                ],
                2000,
                CgroupV2,
            ),
            (
                vec![
                    v1,
                    (
                        "sys/fs/cgroup/memory/kubepods/pod1/memory.limit_in_bytes",
                        "4000\n",
                    ),
                    (
                        "sys/fs/cgroup/memory/memory.limit_in_bytes",
                        "9223372036854771712\n",
                    ),
                ],
                4000,
                CgroupV1,
            ),
            (
                vec![
                    v1,
                    (
                        "sys/fs/cgroup/memory/memory.limit_in_bytes",
                        "9223372036854771712\n",
                    ),
                ],
                MACHINE,
                Machine,
            ),
        ] {
            let root = Root::with(&[files.as_slice(), &[MEMINFO]].concat());
            assert_eq!(
                Memory::under(&root.0).unwrap(),
                Memory { bytes, source },
                "{files:?}"
            );
        }
    }

    #[test]
    fn what_is_no_number_is_an_error_that_names_the_file() {
        let group = ("proc/self/cgroup", "0::/\n");
        for (files, named) in [
            (
                vec![MEMINFO, group, ("sys/fs/cgroup/memory.max", "lots")],
                "sys/fs/cgroup/memory.max",
            ),
            (vec![("proc/meminfo", "MemTotal: x kB")], "proc/meminfo"),
        ] {
            let root = Root::with(&files);
            let error = Memory::under(&root.0).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        assert!(Memory::under(&Root::with(&[]).0).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory() {
        assert!(Memory::under(Path::new("/")).unwrap().bytes > 1 << 20);
    }
}
