//! How much memory the machine or the container has.

use std::path::{Path, PathBuf};

/// Where cgroups are mounted, and the file with the limit of one: version 2, and version 1.
const UNIFIED: (&str, &str) = ("/sys/fs/cgroup", "memory.max");
const LEGACY: (&str, &str) = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes");

/// Bytes of memory that this process may use: those of the machine, or the lowest limit of its cgroup and of those around it.
/// `read` gives the content of a file.
pub fn available(read: impl Fn(&Path) -> Option<String>) -> usize {
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix(" kB")?.parse::<usize>().ok()?.checked_mul(1024)
    });
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().flat_map(limit_files).filter_map(|file| read(&file)?.trim().parse().ok());
    limits.chain(machine).min().unwrap_or(usize::MAX)
}

/// The files with the limits that a line of `/proc/self/cgroup` stands for, such as `0::/a/b` or `4:cpu,memory:/a/b`.
fn limit_files(line: &str) -> Vec<PathBuf> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (root, file) = match controllers {
        "" => UNIFIED,
        _ if controllers.split(',').any(|name| name == "memory") => LEGACY,
        _ => return Vec::new(),
    };
    // A container sees its own cgroup as the root, whatever the line says.
    let groups = Path::new(group.trim_start_matches('/')).ancestors();
    groups.map(|group| Path::new(root).join(group).join(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn available_with(files: &[(&str, &str)]) -> usize {
        available(|path| files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn the_lowest_limit_of_the_machine_and_of_all_cgroups_counts() {
        const MACHINE: (&str, &str) = ("/proc/meminfo", "MemTotal:       1024 kB\nMemFree:        512 kB\n");
        const UNIFIED: (&str, &str) = ("/proc/self/cgroup", "0::/system.slice/wsplice.service\n");
        const LEGACY: (&str, &str) = ("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/x\n0::/docker/x\n");
        for (files, expected) in [
            (&[][..], usize::MAX),
            (&[MACHINE], 1 << 20),
            (&[MACHINE, UNIFIED, ("/sys/fs/cgroup/system.slice/wsplice.service/memory.max", "max\n")], 1 << 20),
            (&[MACHINE, UNIFIED, ("/sys/fs/cgroup/system.slice/wsplice.service/memory.max", "4096\n")], 4096),
            (&[MACHINE, UNIFIED, ("/sys/fs/cgroup/system.slice/memory.max", "8192\n")], 8192),
            (&[MACHINE, UNIFIED, ("/sys/fs/cgroup/memory.max", "12288\n")], 12288),
            (&[MACHINE, LEGACY, ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "4096\n")], 4096),
            (&[MACHINE, LEGACY, ("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "4096\n")], 1 << 20),
            (&[MACHINE, LEGACY, ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")], 1 << 20),
        ] {
            assert_eq!(available_with(files), expected, "{files:?}");
        }
    }
}
