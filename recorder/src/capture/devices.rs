//! Block devices that a directory lies on (docs/guard.md): its own, the disk that it is a part of, and what is below a mapping.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// More than there are in any chain.
const MOST: usize = 64;

/// Major and minor number of each.
pub(super) fn devices(dir: &Path) -> Vec<(u32, u32)> {
    let Ok(meta) = fs::metadata(dir) else { return Vec::new() };
    below(Path::new("/sys/dev/block"), rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()))
}

/// By what sysfs says: of a part of a disk the directory above is the disk, of a mapping `slaves` lists what it lies on.
fn below(blocks: &Path, major: u32, minor: u32) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    let mut wanted = vec![blocks.join(format!("{major}:{minor}"))];
    for _ in 0..MOST {
        let Some(at) = wanted.pop() else { break };
        let Ok(at) = at.canonicalize() else { continue };
        let text = fs::read_to_string(at.join("dev")).unwrap_or_default();
        if let Some((major, minor)) = text.trim().split_once(':')
            && let (Ok(major), Ok(minor)) = (major.parse(), minor.parse())
        {
            found.push((major, minor));
        }
        if at.join("partition").exists() {
            wanted.extend(at.parent().map(Path::to_owned));
        }
        wanted.extend(slaves(&at));
    }
    found
}

fn slaves(device: &Path) -> Vec<PathBuf> {
    fs::read_dir(device.join("slaves")).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// As the kernel lays it out: an encrypted volume on a volume group of two disks, one of them by a part of it.
    #[test]
    fn what_is_below_a_mapping_is_found_down_to_the_disks() {
        let root = std::env::temp_dir().join(format!("devices-{}", std::process::id()));
        let (devices, blocks) = (root.join("devices"), root.join("dev/block"));
        fs::create_dir_all(&blocks).unwrap();
        for (name, number, is_part) in [
            ("sda", "8:0", false),
            ("sda/sda2", "8:2", true),
            ("sdb", "8:16", false),
            ("dm-0", "253:0", false),
            ("dm-1", "253:1", false),
            ("sdc", "8:32", false),
        ] {
            let at = devices.join(name);
            fs::create_dir_all(at.join("slaves")).unwrap();
            fs::write(at.join("dev"), format!("{number}\n")).unwrap();
            if is_part {
                fs::write(at.join("partition"), "2\n").unwrap();
            }
            symlink(&at, blocks.join(number)).unwrap();
        }
        for (of, below) in [("dm-1", "dm-0"), ("dm-0", "sda/sda2"), ("dm-0", "sdb")] {
            let name = Path::new(below).file_name().unwrap();
            symlink(devices.join(below), devices.join(of).join("slaves").join(name)).unwrap();
        }
        let mut found = below(&blocks, 253, 1);
        let turning = devices.join("sdb/slaves/dm-1");
        symlink(devices.join("dm-1"), turning).unwrap();
        let endless = below(&blocks, 253, 1).len();
        fs::remove_dir_all(&root).unwrap();
        found.sort_unstable();
        assert_eq!(found, [(8, 0), (8, 2), (8, 16), (253, 0), (253, 1)]);
        assert!(endless <= MOST, "what lies on itself ends");
    }
}
