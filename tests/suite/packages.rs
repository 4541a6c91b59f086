//! What the packages are made of. tests/packages.sh makes them and tries them.

use crate::support::run;
use std::{fs, path::Path};

const MANIFEST: &str = include_str!("../../Cargo.toml");
const DEFAULT: &str = include_str!("../../packaging/wsplice.default");
const SERVICE: &str = include_str!("../../packaging/wsplice.service");

#[test]
fn the_service_of_the_debian_package_can_be_explained() {
    let options = DEFAULT.lines().find_map(|line| line.strip_prefix("WSPLICE_OPTIONS=")).expect("the options");
    run(std::iter::once("--explain").chain(options.trim_matches('"').split(' ')), "").succeeds();
    assert!(SERVICE.contains("EnvironmentFile=/etc/default/wsplice\nExecStart=/usr/bin/wsplice $WSPLICE_OPTIONS\n"));
}

#[test]
fn every_file_of_the_debian_package_is_there() {
    let assets = MANIFEST.split_once("\nassets = [").and_then(|(_, rest)| rest.split_once("\n]")).expect("assets").0;
    let files: Vec<_> = assets.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert!(files.len() >= 6 && files.contains(&"target/release/wsplice"), "{files:?}");
    for file in files.iter().filter(|file| !file.starts_with("target/")) {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(file).is_file(), "{file}");
    }
    for line in assets.lines().filter(|line| line.contains("\"etc/")) {
        let path = line.split('"').nth(3).expect("a path");
        assert!(MANIFEST.contains(&format!("conf-files = [\"/{path}\"]")), "{path} is not kept by upgrades");
    }
}

#[test]
fn the_version_has_an_entry_in_the_changelog() {
    let heading = format!("\n## [{}]", env!("CARGO_PKG_VERSION"));
    assert!(include_str!("../../CHANGELOG.md").contains(&heading));
}

#[test]
fn every_system_that_has_packages_is_linted_and_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect(path);
    let script = read("packaging/package.sh");
    let lists =
        script.lines().filter(|line| ["linux=(", "windows=(", "macos=("].iter().any(|list| line.starts_with(list)));
    let targets: Vec<_> = lists.flat_map(|line| line.split(['(', ')']).nth(1).unwrap_or_default().split(' ')).collect();
    assert_eq!(targets.len(), 5, "{targets:?}");
    let (linted, documented) = (read("tests/targets.sh"), read("docs/platforms.md"));
    for target in targets {
        assert!(linted.contains(&format!("'{target}|")) && documented.contains(&format!("`{target}`")), "{target}");
    }
}

#[test]
fn no_code_is_left_out_for_an_architecture() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut lines = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // What cfg!() chooses between is all compiled.
            for line in fs::read_to_string(&path).expect("a source").lines().filter(|line| !line.contains("cfg!(")) {
                lines += 1;
                for condition in ["target_arch", "target_pointer_width", "target_endian", "target_feature"] {
                    let shown = path.display();
                    assert!(
                        !line.contains(condition),
                        "tests/targets.sh --lint misses code for others: {shown}: {line}"
                    );
                }
            }
        }
    }
    assert!(lines > 10_000, "{lines}");
}
