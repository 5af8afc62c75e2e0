//! Trace files as lists of key numbers, renumbered in the order of first appearance.

use crate::failure::{Failure, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::hash::Hash;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// How a file lists its accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum Format {
    /// zstd over little-endian u32, one per access.
    #[value(name = "u32.zst")]
    U32Zst,
    /// Little-endian u64, one per access.
    U64,
    /// Comma-separated with a header line and a column of keys.
    Csv,
}

impl Format {
    /// The format that a file's name promises.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let name = path.to_string_lossy();
        match () {
            () if name.ends_with(".u32.zst") => Ok(Self::U32Zst),
            () if name.ends_with(".u64") => Ok(Self::U64),
            () if name.ends_with(".csv") => Ok(Self::Csv),
            () => Err(problem(path, "its name ends in none of .u32.zst, .u64, .csv; say which it is by --format")),
        }
    }
}

/// Where a trace comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    pub(crate) key_column: Option<String>,
    pub(crate) limit: Option<u64>,
}

/// A trace in memory, 4 bytes an access.
pub(crate) struct Trace {
    /// Key numbers from 0.
    pub(crate) accesses: Vec<u32>,
    /// Distinct keys.
    pub(crate) keys: u64,
}

impl Trace {
    /// The accesses as little-endian bytes, as they go to the process that replays them.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.accesses.iter().flat_map(|number| number.to_le_bytes()).collect()
    }
}

impl Source {
    /// The file's name without folder and ending.
    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy();
        [".u32.zst", ".u64", ".csv"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name).to_owned()
    }

    /// Reads all accesses, or as many as the limit says.
    ///
    /// # Errors
    ///
    /// If the file can not be read, does not follow its format, is empty, or has more than 2^32 keys.
    pub(crate) fn read(&self) -> Result<Trace> {
        let file = File::open(&self.path).map_err(|error| self.failed("opening", error))?;
        let limit = self.limit.unwrap_or(u64::MAX);
        let trace = match self.format {
            Format::U32Zst => {
                let decoder = zstd::Decoder::new(file).map_err(|error| self.failed("decompressing", error))?;
                self.numbers::<4>(decoder, limit)?
            }
            Format::U64 => self.numbers::<8>(BufReader::with_capacity(1 << 20, file), limit)?,
            Format::Csv => self.column(file, limit)?,
        };
        if trace.accesses.is_empty() {
            return Err(problem(&self.path, "it lists no access"));
        }
        Ok(trace)
    }

    fn numbers<const WIDTH: usize>(&self, reader: impl Read, limit: u64) -> Result<Trace> {
        let mut bytes = Vec::new();
        let most = limit.saturating_mul(WIDTH as u64);
        let doing = if self.format == Format::U32Zst { "decompressing" } else { "reading" };
        reader.take(most).read_to_end(&mut bytes).map_err(|error| self.failed(doing, error))?;
        let (numbers, rest) = bytes.as_chunks::<WIDTH>();
        if !rest.is_empty() {
            return Err(problem(&self.path, format!("its {} bytes are no multiple of {WIDTH}", bytes.len())));
        }
        let mut numbering = Numbering::new(numbers.len());
        for number in numbers {
            numbering.access(*number).map_err(|text| problem(&self.path, text))?;
        }
        Ok(numbering.trace())
    }

    fn column(&self, file: File, limit: u64) -> Result<Trace> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(BufReader::with_capacity(1 << 20, file));
        let bad = |error: csv::Error| problem(&self.path, error.to_string());
        let column = self.key_column(reader.byte_headers().map_err(bad)?)?;
        let mut numbering = Numbering::new(0);
        let mut record = csv::ByteRecord::new();
        while (numbering.accesses.len() as u64) < limit && reader.read_byte_record(&mut record).map_err(bad)? {
            let Some(key) = record.get(column) else {
                let line = record.position().map_or(0, csv::Position::line);
                return Err(problem(&self.path, format!("line {line} has no column {column}")));
            };
            numbering.access(Box::<[u8]>::from(key)).map_err(|text| problem(&self.path, text))?;
        }
        Ok(numbering.trace())
    }

    fn key_column(&self, titles: &csv::ByteRecord) -> Result<usize> {
        let Some(wanted) = &self.key_column else {
            return Ok(titles.iter().position(|title| title.eq_ignore_ascii_case(b"key")).unwrap_or(0));
        };
        let by_name = titles.iter().position(|title| title == wanted.as_bytes());
        by_name.or_else(|| wanted.parse().ok().filter(|column| *column < titles.len())).ok_or_else(|| Failure::Option {
            option: "key-column",
            met: wanted.clone(),
            bound: format!("{} has the columns {}", self.path.display(), list(titles)),
        })
    }

    fn failed(&self, doing: &'static str, error: std::io::Error) -> Failure {
        Failure::File { path: self.path.clone(), doing, error }
    }
}

/// Numbers keys in the order in which they are first met.
struct Numbering<K> {
    numbers: HashMap<K, u32, ahash::RandomState>,
    accesses: Vec<u32>,
}

impl<K: Hash + Eq> Numbering<K> {
    fn new(expected: usize) -> Self {
        let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
        Self { numbers: HashMap::with_hasher(hasher), accesses: Vec::with_capacity(expected) }
    }

    fn access(&mut self, key: K) -> std::result::Result<(), &'static str> {
        let next = u32::try_from(self.numbers.len()).map_err(|_| "it has more than 4,294,967,295 keys")?;
        self.accesses.push(*self.numbers.entry(key).or_insert(next));
        Ok(())
    }

    fn trace(self) -> Trace {
        Trace { accesses: self.accesses, keys: self.numbers.len() as u64 }
    }
}

fn problem(path: &Path, problem: impl Into<String>) -> Failure {
    Failure::Trace { path: path.to_owned(), problem: problem.into() }
}

fn list(titles: &csv::ByteRecord) -> String {
    titles.iter().map(|title| title.escape_ascii().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, bytes: &[u8]) -> Source {
        let path = std::env::temp_dir().join(format!("also-cache-trace-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).expect("the temporary folder takes a few bytes");
        Source { format: Format::of(&path).expect("a known ending"), path, key_column: None, limit: None }
    }

    fn read_and_remove(source: &Source) -> Result<Trace> {
        let trace = source.read();
        std::fs::remove_file(&source.path).expect("just written");
        trace
    }

    #[test]
    fn all_formats_number_keys_by_first_appearance() {
        let words: Vec<u8> = [900_u64, 7, 900, 8].iter().flat_map(|word| word.to_le_bytes()).collect();
        let halves: Vec<u8> = [900_u32, 7, 900, 8].iter().flat_map(|word| word.to_le_bytes()).collect();
        let packed = zstd::encode_all(halves.as_slice(), 1).expect("compressing a slice");
        for source in [
            source("a.u64", &words),
            source("b.u32.zst", &packed),
            source("c.csv", b"time,key\n1,x\n2,y\n3,x\n4,\"z,\"\n"),
        ] {
            let trace = read_and_remove(&source).expect("a whole trace");
            assert_eq!(trace.accesses, [0, 1, 0, 2], "{source:?}");
            assert_eq!(trace.keys, 3);
        }
    }

    #[test]
    fn what_is_no_trace_is_refused_with_its_reason() {
        assert!(read_and_remove(&source("short.u64", &[1, 2, 3])).is_err());
        assert!(read_and_remove(&source("empty.u64", &[])).is_err());
        assert!(read_and_remove(&source("junk.u32.zst", b"not zstd")).is_err());
        let mut csv = source("d.csv", b"a,b\n1,2\n");
        csv.key_column = Some("c".to_owned());
        assert!(read_and_remove(&csv).is_err());
        assert!(Format::of(Path::new("trace.bin")).is_err());
    }
}
