//! The list of defects, one a line, in a file that needs no parser worth the name.

/// One line of the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Defect {
    /// As in `bite("name")`.
    pub(super) name: String,
    /// Which invariant it breaks, in words.
    pub(super) place: String,
    pub(super) check: Check,
}

/// Tests of one binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) suite: Suite,
    /// The name of the test binary.
    pub(super) binary: String,
    /// Names of its tests, or parts of names; none is all of them.
    pub(super) tests: Vec<String>,
    /// What makes a run shorter: the same with the defect and without.
    pub(super) variables: Vec<(String, String)>,
}

/// Where a binary comes from, and with which flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Suite {
    /// `loom-tests`, under `cfg(loom)`.
    Loom,
    /// `tests`, with the crate under `cfg(also_cache_bite)`.
    Test,
    /// The tests within a crate, under `cfg(also_cache_bite)`.
    Unit,
}

impl Check {
    /// Takes the other's tests along, if one run can be both.
    pub(super) fn take_in(&mut self, other: &Self) -> bool {
        let same = (self.suite, &self.binary, &self.variables) == (other.suite, &other.binary, &other.variables);
        if same && (self.tests.is_empty() || other.tests.is_empty()) {
            self.tests.clear();
        } else if same {
            self.tests
                .extend(other.tests.iter().filter(|test| !self.tests.contains(test)).cloned().collect::<Vec<_>>());
        }
        same
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace().peekable();
        let mut variables = Vec::new();
        while let Some((name, value)) = words.peek().and_then(|word| word.split_once('=')) {
            variables.push((name.to_owned(), value.to_owned()));
            words.next();
        }
        let suite = match words.next()? {
            "loom" => Suite::Loom,
            "test" => Suite::Test,
            "unit" => Suite::Unit,
            _ => return None,
        };
        let binary = words.next()?.to_owned();
        Some(Self { suite, binary, tests: words.map(str::to_owned).collect(), variables })
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.variables.iter().try_for_each(|(name, value)| write!(formatter, "{name}={value} "))?;
        let suite = match self.suite {
            Suite::Loom => "loom",
            Suite::Test => "test",
            Suite::Unit => "unit",
        };
        write!(formatter, "{suite} {}", self.binary)?;
        self.tests.iter().try_for_each(|test| write!(formatter, " {test}"))
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

fn parse(text: &str) -> Result<Vec<Defect>, String> {
    let mut defects: Vec<Defect> = Vec::new();
    for (line, at) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [name, place, check] = fields[..] else {
            return Err(format!("{FILE}:{at}: {} fields, where name | where | check are three", fields.len()));
        };
        if name.is_empty() || place.is_empty() {
            return Err(format!("{FILE}:{at}: an empty field"));
        }
        let check = Check::parse(check).ok_or_else(|| format!("{FILE}:{at}: {check:?} is no check"))?;
        if defects.iter().any(|defect| defect.name == name) {
            return Err(format!("{FILE}:{at}: {name} stands here twice"));
        }
        defects.push(Defect { name: name.to_owned(), place: place.to_owned(), check });
    }
    Ok(defects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_defect() {
        let defects = parse("# words\n\nslot.early | freed early | N=3 loom slot reuse again\n").expect("a list");
        assert_eq!((defects.len(), defects[0].name.as_str()), (1, "slot.early"));
        let check = &defects[0].check;
        assert_eq!((check.suite, check.binary.as_str()), (Suite::Loom, "slot"));
        assert_eq!((check.tests.as_slice(), check.variables.len()), (&["reuse".to_owned(), "again".to_owned()][..], 1));
        assert_eq!(check.to_string(), "N=3 loom slot reuse again");
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_line() {
        for text in ["a | b", "a | | loom c", "a | b | make c", "a | b | loom", "a | b | loom c\na | b | loom c"] {
            assert!(parse(text).expect_err("refused").contains(FILE), "{text}");
        }
    }

    #[test]
    fn one_run_shows_that_several_checks_are_green() {
        let check = |text| Check::parse(text).expect("a check");
        let mut all = check("loom slot one");
        assert!(all.take_in(&check("loom slot two")) && !all.take_in(&check("N=1 loom slot one")));
        assert_eq!(all, check("loom slot one two"));
        assert!(all.take_in(&check("loom slot")) && all == check("loom slot"));
        assert!(!check("test slot one").take_in(&check("unit slot one")));
    }
}
