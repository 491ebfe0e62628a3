//! What this process and this host say about themselves.
//!
//! Semantic conventions: resource, "Process", "Host", "Operating System". Each detector reads a few small files or
//! variables once; what it cannot read it leaves out. None reads the arguments of the command, which may hold secrets.

use alloc::string::String;
use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::attributes::Resource;
use super::environment::Environment;

/// The schema that the attributes of these detectors follow.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// The longest file a detector reads; of a longer one it reads nothing.
const LONGEST: usize = 4096;

/// The resource of a program that says nothing about itself: [`Resource::sdk`] with the name of this executable.
#[must_use]
pub fn sdk() -> Resource {
    Resource::sdk(executable_name().as_deref())
}

/// What `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` say now. A variable that is not UTF-8 counts as none.
#[must_use]
pub fn environment() -> Environment {
    let read = |name| env::var(name).ok();
    Environment::from_texts(
        read("OTEL_RESOURCE_ATTRIBUTES").as_deref(),
        read("OTEL_SERVICE_NAME").as_deref(),
    )
}

/// `process.pid`, `process.executable.name` and `process.command` (the name the program was called by, without its
/// arguments).
///
/// A forked child has another pid: detect again there.
///
/// ```
/// use spanwire_core::resource::detect;
///
/// let process = detect::process();
/// assert_eq!(process.get("process.pid").and_then(|pid| pid.as_int()), Some(std::process::id().into()));
/// assert!(process.get("process.command_args").is_none());
/// ```
#[must_use]
pub fn process() -> Resource {
    let mut resource = Resource::builder()
        .schema_url(SCHEMA_URL)
        .attribute("process.pid", std::process::id());
    if let Some(name) = executable_name() {
        resource = resource.attribute("process.executable.name", &name);
    }
    if let Some(command) = env::args_os().next().as_deref().and_then(OsStr::to_str) {
        resource = resource.attribute("process.command", command);
    }
    resource.build()
}

/// `host.name`, `host.id` (Linux: the machine id) and `host.arch`.
///
/// The name is what `/proc/sys/kernel/hostname` says, or the variables `HOSTNAME` and `COMPUTERNAME`.
#[must_use]
pub fn host() -> Resource {
    let mut resource = Resource::builder().schema_url(SCHEMA_URL);
    let name = read_line("/proc/sys/kernel/hostname")
        .or_else(|| {
            ["HOSTNAME", "COMPUTERNAME"]
                .into_iter()
                .find_map(|name| env::var(name).ok())
        })
        .filter(|name| !name.is_empty());
    if let Some(name) = name {
        resource = resource.attribute("host.name", &name);
    }
    // `uninitialized` is what systemd writes into an image that has not booted yet.
    let id = ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .into_iter()
        .find_map(|path| read_line(path).filter(|id| id != "uninitialized"));
    if let Some(id) = id {
        resource = resource.attribute("host.id", &id);
    }
    resource
        .attribute("host.arch", arch(env::consts::ARCH))
        .build()
}

/// `os.type`.
#[must_use]
pub fn os() -> Resource {
    Resource::builder()
        .schema_url(SCHEMA_URL)
        .attribute("os.type", os_type(env::consts::OS))
        .build()
}

/// Rust's name of an architecture in the words of the conventions; a name they don't have stays.
fn arch(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        "powerpc" => "ppc32",
        "powerpc64" => "ppc64",
        other => other,
    }
}

/// Rust's name of an operating system in the words of the conventions; a name they don't have stays.
fn os_type(name: &str) -> &str {
    match name {
        "macos" => "darwin",
        "dragonfly" => "dragonflybsd",
        other => other,
    }
}

fn executable_name() -> Option<String> {
    let path = env::current_exe().ok()?;
    let name = path.file_name()?.to_str()?;
    // Linux says so when the file was replaced while the program runs.
    Some(name.strip_suffix(" (deleted)").unwrap_or(name).into())
}

/// The first line of a small file, without the white space around it; `None` when there is nothing else in it.
fn read_line(path: impl AsRef<Path>) -> Option<String> {
    let mut text = String::new();
    File::open(path)
        .ok()?
        .take(LONGEST as u64 + 1)
        .read_to_string(&mut text)
        .ok()?;
    let line = text.lines().next()?.trim();
    (text.len() <= LONGEST && !line.is_empty()).then(|| line.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detectors_agree_on_their_schema() {
        let all = process().merge(&host()).unwrap().merge(&os()).unwrap();
        let all = sdk().merge(&all).unwrap();
        assert_eq!(all.schema_url(), SCHEMA_URL);
        let text = |key| all.get(key).and_then(|value| value.as_str()).unwrap();
        assert!(text("service.name").starts_with("unknown_service:spanwire_core-"));
        assert!(text("process.executable.name").starts_with("spanwire_core-"));
        assert!(!text("process.command").is_empty());
        assert!(all.get("process.command_args").is_none());
        assert!(all.get("process.command_line").is_none());
    }

    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn this_host_is_told_in_the_words_of_the_conventions() {
        let host = host();
        assert_eq!(
            host.get("host.arch").and_then(|arch| arch.as_str()),
            Some("amd64")
        );
        assert!(host.get("host.name").is_some());
        assert_eq!(
            os().get("os.type").and_then(|os| os.as_str()),
            Some("linux")
        );
    }

    #[test]
    fn names_are_translated() {
        for (rust, convention) in [
            ("x86_64", "amd64"),
            ("aarch64", "arm64"),
            ("x86", "x86"),
            ("riscv64", "riscv64"),
        ] {
            assert_eq!(arch(rust), convention);
        }
        for (rust, convention) in [
            ("macos", "darwin"),
            ("dragonfly", "dragonflybsd"),
            ("linux", "linux"),
        ] {
            assert_eq!(os_type(rust), convention);
        }
    }
}
