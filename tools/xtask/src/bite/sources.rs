//! Whether the list and the `bite("…")` calls in `src/` name the same defects.

use super::list::{Defect, FILE};
use std::collections::BTreeSet;
use std::path::Path;

/// Fails if a defect is listed and nowhere in the sources, or the reverse.
pub(super) fn agree(defects: &[Defect]) -> Result<(), String> {
    let mut named = BTreeSet::new();
    collect(&crate::root().join("src"), &mut named)?;
    let listed: BTreeSet<String> = defects.iter().map(|defect| defect.name.clone()).collect();
    let gone: Vec<&str> = listed.difference(&named).map(String::as_str).collect();
    let missing: Vec<&str> = named.difference(&listed).map(String::as_str).collect();
    match (gone.is_empty(), missing.is_empty()) {
        (true, true) => Ok(()),
        (false, _) => Err(format!("{FILE} lists what src/ has no bite(\"…\") for: {}", gone.join(", "))),
        (true, false) => Err(format!("src/ has bite(\"…\") calls that {FILE} does not list: {}", missing.join(", "))),
    }
}

fn collect(folder: &Path, named: &mut BTreeSet<String>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            collect(&path, named)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            names(&std::fs::read_to_string(&path).map_err(failed)?, named);
        }
    }
    Ok(())
}

/// The names in `bite("…")` calls outside of comments.
fn names(text: &str, named: &mut BTreeSet<String>) {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    for line in code {
        for call in line.split(CALL).skip(1) {
            named.extend(call.split_once('"').map(|(name, _)| name.to_owned()));
        }
    }
}

const CALL: &str = "bite(\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_and_comments_are_not() {
        let mut named = BTreeSet::new();
        names("//!   bite(\"name\")\nif bite(\"a.b\") || sync::bite(\"c\") {\n", &mut named);
        assert_eq!(named.into_iter().collect::<Vec<_>>(), ["a.b", "c"]);
    }
}
