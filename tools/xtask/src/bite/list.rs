//! The list of defects, one a line, in a file that needs no parser worth the name.

use crate::step::Step;

/// One line of the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Defect {
    /// As in `bite("name")`.
    pub(super) name: String,
    /// Which invariant it breaks, in words.
    pub(super) place: String,
    /// The words of the command that must go red.
    pub(super) command: Vec<String>,
}

impl Defect {
    /// Builds what the check runs, without running it.
    pub(super) fn build(&self) -> Step {
        let words = self.words();
        let words: Vec<&str> = words.iter().map(String::as_str).take_while(|word| *word != "--").collect();
        let step = Step::new(format!("{}: build", self.name), LIMIT_S, &words);
        let is_test = words.get(1) == Some(&"test");
        let no_run: &[String] = if is_test { &["--no-run".to_owned(), "--quiet".to_owned()] } else { &[] };
        self.flagged(step.and(no_run))
    }

    /// Runs the check.
    pub(super) fn check(&self) -> Step {
        let words = self.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.flagged(Step::new(self.name.clone(), LIMIT_S, &words))
    }

    fn words(&self) -> Vec<String> {
        match self.command.split_first() {
            Some((first, rest)) if first == "loom" => {
                LOOM.iter().map(|word| (*word).to_owned()).chain(rest.iter().cloned()).collect()
            }
            _ => self.command.clone(),
        }
    }

    fn flagged(&self, step: Step) -> Step {
        if self.command.first().is_some_and(|word| word == "loom") {
            return step.with("RUSTFLAGS", "--cfg loom").target(crate::target("bite-loom"));
        }
        step.target(crate::target("bite"))
    }
}

/// Reads the list.
pub(super) fn read() -> Result<Vec<Defect>, String> {
    let path = crate::root().join(FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text)
}

/// Where the list is.
pub(super) const FILE: &str = "tools/xtask/bites.txt";

const LOOM: [&str; 5] = ["cargo", "test", "--release", "-p", "also-cache-loom-tests"];
const LIMIT_S: u64 = 600;

fn parse(text: &str) -> Result<Vec<Defect>, String> {
    let mut defects: Vec<Defect> = Vec::new();
    for (line, at) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [name, place, command] = fields[..] else {
            return Err(format!("{FILE}:{at}: {} fields, where name | where | command are three", fields.len()));
        };
        let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if name.is_empty() || place.is_empty() || command.is_empty() {
            return Err(format!("{FILE}:{at}: an empty field"));
        }
        if defects.iter().any(|defect| defect.name == name) {
            return Err(format!("{FILE}:{at}: {name} stands here twice"));
        }
        defects.push(Defect { name: name.to_owned(), place: place.to_owned(), command });
    }
    Ok(defects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_defect() {
        let defects =
            parse("# words\n\nslot.early | slot freed early | loom slot_reuse -- --nocapture\n").expect("a list");
        assert_eq!(defects.len(), 1);
        assert_eq!(defects[0].name, "slot.early");
        assert_eq!(defects[0].words()[..3], ["cargo", "test", "--release"]);
        assert_eq!(defects[0].words()[5..], ["slot_reuse", "--", "--nocapture"]);
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_line() {
        for text in ["a | b", "a | | c", "a | b | c\na | b | c"] {
            assert!(parse(text).expect_err("refused").contains(FILE), "{text}");
        }
    }
}
