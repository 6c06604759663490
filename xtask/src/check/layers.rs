//! The layer table of docs/architecture.md against what the modules of recorder/src really name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::sh;

/// The directory of what PAM and sudo load, and its name in the table.
const LOGIN: &str = "recorder-login";
const LOGIN_DEPENDENCIES: &[&str] = &["libc", "recorder-ask"];

/// Which module may name which.
#[derive(Debug, Default, PartialEq, Eq)]
struct Law {
    allowed: BTreeMap<String, BTreeSet<String>>,
}

/// Every use that the table forbids, and every module that it does not know.
pub(super) fn violations() -> Result<Vec<String>> {
    let page = fs::read_to_string(sh::root().join("docs/architecture.md")).context("docs/architecture.md")?;
    let law = Law::parse(&page)?;
    let src = sh::root().join("recorder/src");
    let mut found = Vec::new();
    for path in sources(&src)? {
        let relative = path.strip_prefix(&src)?;
        let Some(module) = module_of(relative) else { continue };
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        found.extend(law.judge(&module, &relative.display().to_string(), &text));
    }
    let login = sh::root().join(LOGIN);
    for entry in fs::read_dir(&login).with_context(|| login.display().to_string())? {
        let path = entry?.path().join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let file = path.strip_prefix(sh::root())?.display().to_string();
        found.extend(law.judge_login(&file, &text));
    }
    Ok(found)
}

impl Law {
    /// Reads the rows `| rank | modules | may use |`; the notes behind a semicolon are for people.
    fn parse(page: &str) -> Result<Self> {
        let mut ranks: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        let mut words: Vec<(u32, String)> = Vec::new();
        for line in page.lines() {
            let cells: Vec<_> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
            let [rank, modules, may] = cells.as_slice() else { continue };
            let Ok(rank) = rank.parse::<u32>() else { continue };
            ranks.insert(rank, modules.split(['·', ',']).map(|name| name.trim().to_owned()).collect());
            words.push((rank, may.split(';').next().unwrap_or_default().to_owned()));
        }
        if ranks.is_empty() {
            bail!("docs/architecture.md has no layer table");
        }
        let mut law = Self::default();
        for (rank, may) in words {
            let lower: BTreeSet<_> = ranks.range(..rank).flat_map(|(_, names)| names.clone()).collect();
            let allowed = permitted(&may, rank, &ranks, &lower)?;
            for module in ranks.get(&rank).into_iter().flatten() {
                law.allowed.insert(module.clone(), allowed.clone());
            }
        }
        Ok(law)
    }

    /// What login programs load depends on nothing but its own client and libc: each crate there runs as root in sudo.
    fn judge_login(&self, file: &str, manifest: &str) -> Vec<String> {
        if !self.allowed.contains_key(LOGIN) {
            return vec![format!("{file}: {LOGIN} is not in the table of docs/architecture.md")];
        }
        let mut section = "";
        let mut found = Vec::new();
        for (number, line) in manifest.lines().enumerate() {
            if line.starts_with('[') {
                section = line.trim();
                if section.contains("dependencies")
                    && !matches!(section, "[dependencies]" | "[dev-dependencies]")
                {
                    found.push(format!(
                        "{file}:{}: dependencies of {LOGIN} stand in [dependencies]",
                        number + 1
                    ));
                }
            } else if section == "[dependencies]" && line.contains('=') && !line.starts_with('#') {
                let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
                if !LOGIN_DEPENDENCIES.contains(&name) {
                    found.push(format!("{file}:{}: {LOGIN} may not depend on {name}", number + 1));
                }
            }
        }
        found
    }

    fn judge(&self, module: &str, file: &str, text: &str) -> Vec<String> {
        let Some(allowed) = self.allowed.get(module) else {
            return vec![format!("{file}: module {module} is not in the table of docs/architecture.md")];
        };
        let mut found = Vec::new();
        for (line, named) in named_modules(text) {
            let known = self.allowed.contains_key(&named);
            if named != module && known && !allowed.contains(&named) {
                found.push(format!("{file}:{line}: {module} may not use {named}"));
            }
        }
        for (number, line) in code_lines(text) {
            if module != "capture" && (line.contains("aya::") || line.contains("use aya")) {
                found.push(format!("{file}:{number}: only capture may use aya"));
            }
        }
        found
    }
}

/// The words of the table: `nothing …`, `rank N`, `everything …`, and names (`journal's follow` is the journal).
fn permitted(
    may: &str,
    rank: u32,
    ranks: &BTreeMap<u32, Vec<String>>,
    lower: &BTreeSet<String>,
) -> Result<BTreeSet<String>> {
    let mut allowed = BTreeSet::new();
    for word in may.split(',').map(str::trim) {
        if word.starts_with("nothing") {
            continue;
        }
        if word.starts_with("everything") {
            allowed.extend(lower.iter().cloned());
        } else if let Some(number) = word.strip_prefix("rank ") {
            allowed.extend(ranks.get(&number.parse()?).into_iter().flatten().cloned());
        } else {
            let name = word.split('\'').next().unwrap_or(word);
            if !lower.contains(name) {
                bail!("rank {rank} of the layer table allows {word:?}, which no lower rank holds");
            }
            allowed.insert(name.to_owned());
        }
    }
    Ok(allowed)
}

/// Modules that the code names as `crate::x` or `crate::{x::…, y}`, with the line of each; unit tests are free.
fn named_modules(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut code = String::new();
    let mut starts = Vec::new();
    for (number, line) in code_lines(text) {
        starts.push((code.len(), number));
        code.push_str(line);
        code.push('\n');
    }
    let line_of =
        |at: usize| starts.iter().rev().find(|(start, _)| *start <= at).map_or(0, |(_, number)| *number);
    for (at, _) in code.match_indices("crate::") {
        // `some_crate::` and `$crate::` are other things.
        let before = code.get(..at).and_then(|head| head.chars().next_back());
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = code.get(at + "crate::".len()..).unwrap_or_default();
        if let Some(group) = rest.strip_prefix('{') {
            let (mut depth, mut start) = (0u32, true);
            for (offset, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if start && depth == 0 && !c.is_whitespace() => {
                        start = false;
                        found.push((line_of(at + "crate::{".len() + offset), ident(group.get(offset..))));
                    }
                    _ => {}
                }
            }
        } else {
            found.push((line_of(at), ident(Some(rest))));
        }
    }
    found
}

fn ident(text: Option<&str>) -> String {
    text.unwrap_or_default().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Numbered lines without line comments, up to the unit tests.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()))
}

/// The top module of a file; the crate's own roots and test-only files have none.
fn module_of(relative: &Path) -> Option<String> {
    if relative.file_name().is_some_and(|name| name == "tests.rs")
        || relative.iter().any(|part| part == "tests")
    {
        return None;
    }
    let first = relative.iter().next()?.to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(name, "main" | "lib" | "bin")).then(|| name.to_owned())
}

fn sources(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "
| rank | module | may use |
|---|---|---|
| 0 | recorder-common, model, sys | nothing of ours (sys: libc only) |
| 2 | capture · journal | model, sys; not each other; only capture sees aya |
| 3 | verify | journal, model |
| 4 | index · replay | rank 3, journal's follow |
| 7 | cli | everything |
";

    fn judged(module: &str, text: &str) -> Vec<String> {
        Law::parse(PAGE).unwrap().judge(module, "f.rs", text)
    }

    #[test]
    fn the_table_is_understood() {
        let law = Law::parse(PAGE).unwrap();
        assert!(law.allowed["model"].is_empty());
        assert_eq!(Vec::from_iter(&law.allowed["capture"]), ["model", "sys"]);
        assert_eq!(Vec::from_iter(&law.allowed["replay"]), ["journal", "verify"]);
        assert_eq!(law.allowed["cli"].len(), 8);
        assert!(Law::parse("no table").is_err());
        assert!(Law::parse("| 1 | a | later |\n| 2 | later | a |").is_err());
    }

    #[test]
    fn violations_are_named_with_their_line() {
        assert_eq!(
            judged("journal", "use crate::{\n    model::{A, capture},\n    capture::Ring,\n};\n"),
            ["f.rs:3: journal may not use capture"]
        );
        assert_eq!(judged("model", "fn f() { crate::sys::now() }"), ["f.rs:1: model may not use sys"]);
        assert_eq!(judged("journal", "use aya::Ebpf;"), ["f.rs:1: only capture may use aya"]);
        assert_eq!(judged("attic", ""), ["f.rs: module attic is not in the table of docs/architecture.md"]);
    }

    #[test]
    fn login_programs_load_nothing_else() {
        let judged = |page: &str, text: &str| Law::parse(page).unwrap().judge_login("f.toml", text);
        let page = PAGE.replace("model, sys |", "model, sys, recorder-login |");
        let good = "[lib]\nname = \"x\"\n[dependencies]\nlibc.workspace = true\nrecorder-ask = { path = \"..\" }\n\n[dev-dependencies]\ntempfile = \"3\"\n";
        assert!(judged(&page, good).is_empty());
        assert_eq!(
            judged(&page, "[dependencies]\nserde.workspace = true\n"),
            ["f.toml:2: recorder-login may not depend on serde"]
        );
        assert_eq!(judged(&page, "[dependencies.serde]\nversion = \"1\"\n").len(), 1);
        assert_eq!(judged(PAGE, good).len(), 1);
    }

    #[test]
    fn own_module_comments_and_unit_tests_are_free() {
        let text = "use crate::journal::Frame; // like crate::verify\n#[cfg(test)]\nmod tests { use crate::verify::walk; }";
        assert!(judged("journal", text).is_empty());
        assert!(judged("cli", "use crate::{capture, verify as v}; other_crate::capture::x();").is_empty());
    }
}
