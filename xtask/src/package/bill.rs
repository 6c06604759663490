//! The bill of materials (CycloneDX 1.5) and the licences of what was linked in, by the lock files and the sources that cargo
//! has: nothing is asked of the network.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::sh;

/// What ends up on the host: the packages whose normal dependencies are linked into it.
const SHIPPED: &[&str] = &["recorder", "recorder-pam", "recorder-sudo"];
/// Files whose text has to come along.
const LICENCES: &[&str] = &["license", "licence", "copying", "notice", "unlicense"];

/// One crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    name: String,
    version: String,
    licence: String,
}

/// Writes `sbom.cdx.json` and `licences.txt`.
pub(super) fn make(to: &Path) -> Result<()> {
    let mut parts = BTreeSet::new();
    for package in SHIPPED {
        parts.extend(linked(&sh::root(), &["-p", package])?);
    }
    let own = sh::root().join("recorder-ebpf");
    parts.extend(linked(&own, &["--target", "all"])?);
    let mut sums = checksums(&fs::read_to_string(sh::root().join("Cargo.lock"))?);
    sums.extend(checksums(&fs::read_to_string(own.join("Cargo.lock")).unwrap_or_default()));
    let bill = serde_json::to_string_pretty(&bill(&parts, &sums))? + "\n";
    fs::write(to.join("sbom.cdx.json"), bill)?;
    let mut dirs = sources(&sh::root())?;
    dirs.extend(sources(&own)?);
    fs::write(to.join("licences.txt"), licences(&parts, &sums, &dirs)?)?;
    Ok(())
}

/// What is linked into a package.
fn linked(root: &Path, which: &[&str]) -> Result<BTreeSet<Part>> {
    let mut tree = sh::cargo();
    tree.current_dir(root).args(["tree", "--locked", "--edges", "normal", "--prefix", "none"]);
    Ok(parts(&sh::output(tree.args(["--format", "{p}|{l}"]).args(which))?))
}

fn parts(tree: &str) -> BTreeSet<Part> {
    tree.lines()
        .filter_map(|line| {
            let (package, licence) = line.split_once('|')?;
            let mut words = package.split(' ');
            let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
            let licence = licence.trim_end_matches(" (*)").to_owned();
            Some(Part { name: name.to_owned(), version: version.to_owned(), licence })
        })
        .collect()
}

/// SHA-256 of each crate's archive, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for entry in lock.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let line = entry.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
            line.map(|text| text.trim_matches('"').to_owned())
        };
        if let (Some(name), Some(version), Some(sum)) = (value("name"), value("version"), value("checksum")) {
            found.insert((name, version), sum);
        }
    }
    found
}

fn bill(parts: &BTreeSet<Part>, sums: &BTreeMap<(String, String), String>) -> Value {
    let components: Vec<Value> = parts
        .iter()
        .map(|part| {
            let purl = format!("pkg:cargo/{}@{}", part.name, part.version);
            let mut component = json!({
                "type": "library", "bom-ref": purl, "name": part.name, "version": part.version, "purl": purl,
                // Older manifests have a slash for `OR`.
                "licenses": [{"expression": part.licence.replace('/', " OR ")}],
            });
            if let Some(sum) = sums.get(&(part.name.clone(), part.version.clone()))
                && let Some(fields) = component.as_object_mut()
            {
                fields.insert("hashes".into(), json!([{"alg": "SHA-256", "content": sum}]));
            }
            component
        })
        .collect();
    let own = parts.iter().find(|part| part.name == "recorder");
    json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {
            "type": "application", "bom-ref": "recorder", "name": "recorder",
            "version": own.map(|part| part.version.as_str()),
        }},
        "components": components,
    })
}

/// Where cargo has each crate's source.
fn sources(root: &Path) -> Result<BTreeMap<(String, String), PathBuf>> {
    let mut metadata = sh::cargo();
    metadata.current_dir(root).args(["metadata", "--locked", "--format-version", "1"]);
    let all: Value = serde_json::from_str(&sh::output(&mut metadata)?)?;
    let packages =
        all.get("packages").and_then(Value::as_array).context("cargo metadata names no packages")?;
    let text = |package: &Value, key: &str| package.get(key).and_then(Value::as_str).map(str::to_owned);
    let place = |package: &Value| {
        let dir = PathBuf::from(text(package, "manifest_path")?).parent()?.to_path_buf();
        Some(((text(package, "name")?, text(package, "version")?), dir))
    };
    Ok(packages.iter().filter_map(place).collect())
}

/// Each text once, behind the names of the crates that come with it. Our own are in `copyright`.
fn licences(
    parts: &BTreeSet<Part>,
    sums: &BTreeMap<(String, String), String>,
    dirs: &BTreeMap<(String, String), PathBuf>,
) -> Result<String> {
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut list = String::new();
    for part in parts {
        let id = (part.name.clone(), part.version.clone());
        if !sums.contains_key(&id) {
            continue;
        }
        writeln!(list, "{} {}: {}", part.name, part.version, part.licence)?;
        let Some(dir) = dirs.get(&id) else { continue };
        for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            if path.is_file() && LICENCES.iter().any(|word| name.starts_with(word)) {
                let text = String::from_utf8_lossy(&fs::read(&path)?).trim().to_owned();
                texts.entry(text).or_default().insert(format!("{} {}", part.name, part.version));
            }
        }
    }
    let mut out = format!("Crates that are linked into the recorder, and their licences\n\n{list}");
    for (text, names) in texts {
        let names: Vec<String> = names.into_iter().collect();
        write!(out, "\n{}\n{}\n\n{text}\n", "=".repeat(78), names.join(", "))?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bill_names_each_crate_once_with_its_hash() {
        let tree = "recorder v0.1.0 (/x)|MIT OR Apache-2.0\nlibc v0.2.1|MIT/Apache-2.0\nlibc v0.2.1|MIT/Apache-2.0 (*)\n";
        let lock = "version = 4\n\n[[package]]\nname = \"libc\"\nversion = \"0.2.1\"\nchecksum = \"ab12\"\n";
        let bill = bill(&parts(tree), &checksums(lock));
        let list = bill["components"].as_array().unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(list[0]["purl"], "pkg:cargo/libc@0.2.1");
        assert_eq!(list[0]["hashes"][0]["content"], "ab12");
        assert_eq!(list[0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(bill["metadata"]["component"]["version"], "0.1.0");
    }

    #[test]
    fn the_real_bill_holds_what_is_linked_and_nothing_of_the_tests() {
        let parts = linked(&sh::root(), &["-p", "recorder"]).unwrap();
        let has = |name: &str| parts.iter().any(|part| part.name == name);
        assert!(has("aya") && has("ed25519-dalek") && !has("proptest") && !has("insta"));
        assert!(parts.iter().all(|part| !part.licence.is_empty()));
    }
}
