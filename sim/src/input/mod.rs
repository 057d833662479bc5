//! Real inputs: files that were measured, not drawn.
//!
//! Three readers, each a function from a path to a plain value: who wrote to whom
//! ([`message_trace`]), how far apart places are ([`latency_matrix`]) and when machines broke
//! ([`node_failures`]). Called while a run is being planned, and only then. Nothing here samples,
//! scales, repairs or guesses: a file is taken whole, or refused with the line and the field that
//! is wrong. No file, however damaged, makes a reader panic.
//!
//! A file is CSV with one header line, plain or gzip, told apart by its first bytes and not by its
//! name. Columns are found by name, in any order. A UTF-8 byte order mark, CRLF line ends, blank
//! lines and a missing line end at the end of the file are all accepted.

pub mod latency_matrix;
pub mod message_trace;
pub mod node_failures;

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use csv::{ByteRecord, ReaderBuilder, Terminator};
use flate2::read::MultiGzDecoder;
use miette::Diagnostic;
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

/// The most bytes one file may unpack to: nine hundred times the largest of the measured files,
/// and still an end to a gzip file made to fill the memory.
pub const CONTENT_BYTES_MAX: u64 = 1 << 30;

/// The furthest a time may be from its epoch, in seconds (as unix time: the year 2106). Within it
/// any span fits a `u64` of nanoseconds, and a trace stamped in milliseconds is caught.
pub const TIME_S_MAX: u64 = u32::MAX as u64;

/// Why a file was refused. `Display` starts with `file:line: field 'name':`, as far as there is a
/// line and a field to name; the help says what to do about it. A cause is part of the message and
/// not a source of its own, so that a report prints it once.
#[derive(Debug, Error, Diagnostic)]
pub enum InputError {
    #[error("{}: cannot be opened: {cause}", path.display())]
    #[diagnostic(
        code(courier::input::cannot_open),
        help("Check the path; a relative one starts at the directory courier was called from.")
    )]
    CannotOpen { path: PathBuf, cause: io::Error },

    #[error("{}:{line}: cannot be read on from here: {cause}", path.display())]
    #[diagnostic(
        code(courier::input::cannot_read),
        help("Check that this is a regular file on a healthy disk, then run again.")
    )]
    CannotRead { path: PathBuf, line: u64, cause: io::Error },

    #[error("{}:{line}: the gzip data stops short of its end", path.display())]
    #[diagnostic(
        code(courier::input::truncated_gzip),
        help("Fetch the file again: its last part is missing. `gzip -t FILE` must be silent.")
    )]
    TruncatedGzip { path: PathBuf, line: u64 },

    #[error("{}:{line}: the gzip data is damaged: {cause}", path.display())]
    #[diagnostic(
        code(courier::input::damaged_gzip),
        help("Fetch the file again: its bytes have changed. `gzip -t FILE` must be silent.")
    )]
    DamagedGzip { path: PathBuf, line: u64, cause: io::Error },

    #[error("{}:{line}: the content is longer than {bytes_max} bytes", path.display())]
    #[diagnostic(
        code(courier::input::too_long),
        help("Cut the file down to the rows you need, keeping its header.")
    )]
    TooLong { path: PathBuf, line: u64, bytes_max: u64 },

    #[error("{}:{line}: field '{field}': not UTF-8", path.display())]
    #[diagnostic(
        code(courier::input::not_utf8),
        help("Convert it: `iconv -f LATIN1 -t UTF-8 FILE > CONVERTED`, with the encoding it has.")
    )]
    NotUtf8 { path: PathBuf, line: u64, field: &'static str },

    #[error("{}:1: empty: expected the header {expected}", path.display())]
    #[diagnostic(
        code(courier::input::empty),
        help("Fetch the file again, or write the header as its first line.")
    )]
    Empty { path: PathBuf, expected: String },

    #[error("{}:{line}: header: {problem}: expected {expected}, found {found}", path.display())]
    #[diagnostic(
        code(courier::input::bad_header),
        help("Make the first line name exactly the expected columns; their order is free.")
    )]
    BadHeader { path: PathBuf, line: u64, problem: String, expected: String, found: String },

    #[error("{}:{line}: no rows after the header", path.display())]
    #[diagnostic(
        code(courier::input::no_rows),
        help("Fetch the file again, or point the scenario at one with rows.")
    )]
    NoRows { path: PathBuf, line: u64 },

    #[error("{}:{line}: field '{field}': missing: the row ends before it", path.display())]
    #[diagnostic(
        code(courier::input::missing_field),
        help("Give the row one field for every column of the header.")
    )]
    MissingField { path: PathBuf, line: u64, field: &'static str },

    #[error("{}:{line}: after field '{field}': expected the end of the line, found {found}",
        path.display())]
    #[diagnostic(
        code(courier::input::surplus_field),
        help("Remove the surplus field, or put a text that holds commas in double quotes.")
    )]
    SurplusField { path: PathBuf, line: u64, field: &'static str, found: String },

    #[error("{}:{line}: field '{field}': a quoted text runs past the end of the line",
        path.display())]
    #[diagnostic(
        code(courier::input::open_quote),
        help("Close the double quote on this line: no text may hold a line end.")
    )]
    OpenQuote { path: PathBuf, line: u64, field: &'static str },

    #[error("{}:{line}: field '{field}': expected {expected}, found {found}", path.display())]
    #[diagnostic(
        code(courier::input::malformed_field),
        help("Correct this field at its source, or remove the row if the source is wrong.")
    )]
    MalformedField {
        path: PathBuf,
        line: u64,
        field: &'static str,
        expected: String,
        found: String,
    },

    #[error("{}:{line}: field '{field}': expected {previous} or later, as in the row above, \
        found {found}", path.display())]
    #[diagnostic(
        code(courier::input::unsorted),
        help(
            "Sort the rows below the header by '{field}', keeping equal ones in order: \
            `sort -s -n -t, -kN`, where N is the number of that column."
        )
    )]
    Unsorted { path: PathBuf, line: u64, field: &'static str, previous: u64, found: u64 },
}

/// A file being read, row by row. Holds one row at a time, whatever the size of the file.
struct Table {
    path: PathBuf,
    columns: &'static [&'static str],
    /// Where each of `columns` stands in the file.
    positions: Vec<usize>,
    csv: csv::Reader<Content>,
    record: ByteRecord,
    /// The line of `record`, from 1.
    line: u64,
    rows: u64,
}

impl Table {
    /// Opens a file whose header names exactly these columns.
    fn open(path: &Path, columns: &'static [&'static str]) -> Result<Self, InputError> {
        Self::open_bounded(path, columns, CONTENT_BYTES_MAX)
    }

    fn open_bounded(
        path: &Path,
        columns: &'static [&'static str],
        bytes_max: u64,
    ) -> Result<Self, InputError> {
        let file = File::open(path)
            .map_err(|cause| InputError::CannotOpen { path: path.to_owned(), cause })?;
        let content = Content::new(file, bytes_max)
            .map_err(|(cause, gzip)| unreadable(path, 1, cause, gzip))?;
        let csv = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            // With CRLF as a terminator the parser counts the LF to the line after, and every
            // error would name the line above its own. The CR is taken off in `Row::bytes`.
            .terminator(Terminator::Any(b'\n'))
            .from_reader(content);
        let mut table = Self {
            path: path.to_owned(),
            columns,
            positions: Vec::new(),
            csv,
            record: ByteRecord::new(),
            line: 0,
            rows: 0,
        };
        table.positions = table.read_header()?;
        Ok(table)
    }

    fn read_header(&mut self) -> Result<Vec<usize>, InputError> {
        let expected = self.columns.join(",");
        if !self.advance()? {
            return Err(InputError::Empty { path: self.path.clone(), expected });
        }
        let fields: Vec<&[u8]> = (0..self.record.len()).map(|at| self.bytes(at)).collect();
        let bad = |problem: String| InputError::BadHeader {
            path: self.path.clone(),
            line: self.line,
            problem,
            expected: expected.clone(),
            found: excerpt(&fields.join(&b',')),
        };
        for (at, field) in fields.iter().enumerate() {
            if !self.columns.iter().any(|column| column.as_bytes() == *field) {
                return Err(bad(format!("unknown column {}", excerpt(field))));
            }
            if fields[..at].contains(field) {
                return Err(bad(format!("column {} named twice", excerpt(field))));
            }
        }
        let position = |column: &&'static str| {
            let at = fields.iter().position(|field| *field == column.as_bytes());
            at.ok_or_else(|| bad(format!("no column '{column}'")))
        };
        self.columns.iter().map(position).collect()
    }

    /// The next row, or `None` at the end of the file.
    fn next(&mut self) -> Result<Option<Row<'_>>, InputError> {
        if !self.advance()? {
            return Ok(None);
        }
        let (path, line) = (|| self.path.clone(), self.line);
        // A quote left open swallows the rows below it, so it comes before counting fields.
        if let Some(at) = self.record.iter().position(|field| field.contains(&b'\n')) {
            return Err(InputError::OpenQuote { path: path(), line, field: self.column_at(at) });
        }
        let (found, expected) = (self.record.len(), self.columns.len());
        if found < expected {
            return Err(InputError::MissingField {
                path: path(),
                line,
                field: self.column_at(found),
            });
        }
        if found > expected {
            let field = self.column_at(expected - 1);
            let found = excerpt(self.bytes(expected));
            return Err(InputError::SurplusField { path: path(), line, field, found });
        }
        self.rows += 1;
        Ok(Some(Row { table: self, line }))
    }

    /// Ends the reading of a file: its checksum, if it had rows.
    fn finish(self) -> Result<u64, InputError> {
        if self.rows == 0 {
            return Err(InputError::NoRows { path: self.path, line: self.line });
        }
        Ok(self.csv.get_ref().hash.digest())
    }

    /// Reads the next record that is not a blank line. False at the end of the file.
    fn advance(&mut self) -> Result<bool, InputError> {
        loop {
            let read = self.csv.read_byte_record(&mut self.record);
            let next_line = self.csv.position().line();
            match read {
                Ok(false) => return Ok(false),
                Ok(true) => {}
                Err(error) => return Err(self.stopped(error, next_line)),
            }
            // The parser skips blank lines without telling, so the line is counted from the end
            // of the record back: the line ends inside its quotes, and its own, which only a
            // record that the end of the file has cut off does not have.
            let inside = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count();
            let own = usize::from(!self.csv.get_ref().ended);
            self.line = next_line.saturating_sub((inside + own) as u64);
            // A line of only a CR is blank to a reader, and a field to the parser.
            if self.record.len() > 1 || !self.bytes(0).is_empty() {
                return Ok(true);
            }
        }
    }

    /// What the parser's error means. It is lenient about CSV, so only the file can have failed.
    fn stopped(&self, error: csv::Error, line: u64) -> InputError {
        let content = self.csv.get_ref();
        let path = &self.path;
        if content.exceeded {
            return InputError::TooLong { path: path.clone(), line, bytes_max: content.bytes_max };
        }
        let cause = match error.into_kind() {
            csv::ErrorKind::Io(cause) => cause,
            other => io::Error::other(format!("{other:?}")),
        };
        unreadable(path, line, cause, content.gzip)
    }

    /// A field of the record by its place in the file; empty if there is none.
    fn bytes(&self, at: usize) -> &[u8] {
        let field = self.record.get(at).unwrap_or_default();
        match field {
            [text @ .., b'\r'] if at + 1 == self.record.len() => text,
            text => text,
        }
    }

    /// The name of the column at this place in the file; the last one for places after it.
    fn column_at(&self, at: usize) -> &'static str {
        let named = self.positions.iter().zip(self.columns).find(|(position, _)| **position == at);
        named.map_or(self.columns[self.columns.len() - 1], |(_, column)| column)
    }
}

/// One row, its fields addressed by their index in the `columns` that [`Table::open`] was given.
struct Row<'a> {
    table: &'a Table,
    line: u64,
}

impl<'a> Row<'a> {
    fn text(&self, column: usize) -> Result<&'a str, InputError> {
        let bytes = self.table.bytes(self.table.positions[column]);
        std::str::from_utf8(bytes).map_err(|_| InputError::NotUtf8 {
            path: self.table.path.clone(),
            line: self.line,
            field: self.table.columns[column],
        })
    }

    fn number<T: FromStr>(&self, column: usize, expected: &str) -> Result<T, InputError> {
        let text = self.text(column)?;
        text.parse().map_err(|_| self.malformed(column, expected))
    }

    /// The error for a field that is not what was expected, as it stands in the file.
    fn malformed(&self, column: usize, expected: impl Into<String>) -> InputError {
        let found = excerpt(self.table.bytes(self.table.positions[column]));
        self.malformed_part(column, expected, found)
    }

    /// The error for a field of which only a part is wrong, or its size.
    fn malformed_part(
        &self,
        column: usize,
        expected: impl Into<String>,
        found: String,
    ) -> InputError {
        InputError::MalformedField {
            path: self.table.path.clone(),
            line: self.line,
            field: self.table.columns[column],
            expected: expected.into(),
            found,
        }
    }

    fn unsorted(&self, column: usize, previous: u64, found: u64) -> InputError {
        let (path, field) = (self.table.path.clone(), self.table.columns[column]);
        InputError::Unsorted { path, line: self.line, field, previous, found }
    }
}

/// The uncompressed bytes of a file: hashed, counted, and handed on without byte order mark.
struct Content {
    source: Box<dyn Read>,
    gzip: bool,
    hash: Xxh3,
    bytes: u64,
    bytes_max: u64,
    exceeded: bool,
    /// Whether the reader has been told that this is the end.
    ended: bool,
}

impl Content {
    /// On failure, also tells whether the file claimed to be gzip.
    fn new(mut file: File, bytes_max: u64) -> Result<Self, (io::Error, bool)> {
        let magic = first_bytes(&mut file, 2).map_err(|error| (error, false))?;
        let gzip = magic == [0x1f, 0x8b];
        let whole = Cursor::new(magic).chain(file);
        let mut source: Box<dyn Read> =
            if gzip { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) };

        let head = first_bytes(&mut source, 3).map_err(|error| (error, gzip))?;
        let mut hash = Xxh3::new();
        if head == *b"\xef\xbb\xbf" {
            hash.update(&head);
        } else {
            source = Box::new(Cursor::new(head).chain(source));
        }
        Ok(Self { source, gzip, hash, bytes: 0, bytes_max, exceeded: false, ended: false })
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.ended = count == 0 && !buffer.is_empty();
        self.bytes += count as u64;
        if self.bytes > self.bytes_max {
            self.exceeded = true;
            return Err(io::Error::other("content too long"));
        }
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

/// Up to `count` bytes: fewer only if the source ends before.
fn first_bytes(source: &mut impl Read, count: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(count).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Tells a bad disk from a bad download: flate2 has no error type of its own, only these kinds.
fn unreadable(path: &Path, line: u64, cause: io::Error, gzip: bool) -> InputError {
    let path = path.to_owned();
    match cause.kind() {
        io::ErrorKind::UnexpectedEof if gzip => InputError::TruncatedGzip { path, line },
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData if gzip => {
            InputError::DamagedGzip { path, line, cause }
        }
        _ => InputError::CannotRead { path, line, cause },
    }
}

/// A piece of a file for an error message: quoted, on one line, and short whatever the file holds.
fn excerpt(found: &[u8]) -> String {
    const CHARS_MAX: usize = 60;
    // No char takes more than four bytes, so this much is enough to cut from.
    let text = String::from_utf8_lossy(&found[..found.len().min(4 * CHARS_MAX + 4)]);
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// What the tests of all three readers need: files to read.
#[cfg(test)]
mod testing {
    use std::io::Write;
    use std::path::PathBuf;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::InputError;

    /// A file named `input.csv` that lives as long as the directory it is handed out with.
    pub fn file(content: &[u8]) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let path = dir.path().join("input.csv");
        std::fs::write(&path, content).expect("a temporary file can be written");
        (dir, path)
    }

    pub fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).expect("memory can be written");
        encoder.finish().expect("memory can be written")
    }

    /// The error a reader gives for this content, as printed, without the directory.
    pub fn refusal<T>(
        read: impl Fn(&std::path::Path) -> Result<T, InputError>,
        content: &[u8],
    ) -> String {
        let (dir, path) = file(content);
        let Err(error) = read(&path) else { panic!("accepted: {}", content.escape_ascii()) };
        let directory = format!("{}{}", dir.path().display(), std::path::MAIN_SEPARATOR);
        error.to_string().replace(&directory, "")
    }

    /// A file of measured data, if it is there; says so if it is not.
    pub fn measured(name: &str) -> Option<PathBuf> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/");
        let path = PathBuf::from(format!("{folder}{name}"));
        if !path.exists() {
            println!("skipped: {name} is not here");
            return None;
        }
        Some(path)
    }

    /// A way to write the same rows: every choice a reader must not care about.
    #[derive(Clone, Debug)]
    pub struct Spelling {
        pub column_order: Vec<usize>,
        gzip: bool,
        mark: bool,
        crlf: bool,
        quoted: bool,
        last_line_end: bool,
    }

    pub fn spelling(columns: usize) -> impl Strategy<Value = Spelling> {
        let order = Just((0..columns).collect::<Vec<_>>()).prop_shuffle();
        (order, any::<[bool; 5]>()).prop_map(|(column_order, flags)| {
            let [gzip, mark, crlf, quoted, last_line_end] = flags;
            Spelling { column_order, gzip, mark, crlf, quoted, last_line_end }
        })
    }

    impl Spelling {
        /// The rows as a file, and the checksum it must be given.
        pub fn write(&self, columns: &[&str], rows: &[Vec<String>]) -> (Vec<u8>, u64) {
            let line_end = if self.crlf { "\r\n" } else { "\n" };
            let style = if self.quoted { csv::QuoteStyle::Always } else { Default::default() };
            let mut writer = csv::WriterBuilder::new()
                .quote_style(style)
                .terminator(if self.crlf {
                    csv::Terminator::CRLF
                } else {
                    csv::Terminator::Any(b'\n')
                })
                .from_writer(if self.mark { b"\xef\xbb\xbf".to_vec() } else { Vec::new() });
            let header: Vec<String> = columns.iter().map(|column| column.to_string()).collect();
            for row in std::iter::once(&header).chain(rows) {
                let fields = self.column_order.iter().map(|at| &row[*at]);
                writer.write_record(fields).expect("memory can be written");
            }
            let mut content = writer.into_inner().expect("memory can be written");
            if !self.last_line_end {
                content.truncate(content.len() - line_end.len());
            }
            let checksum = xxhash_rust::xxh3::xxh3_64(&content);
            (if self.gzip { gzip(&content) } else { content }, checksum)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::{file, gzip, refusal};
    use super::*;

    const COLUMNS: &[&str] = &["name", "count"];

    fn read(path: &Path) -> Result<Vec<(String, u32)>, InputError> {
        read_bounded(path, CONTENT_BYTES_MAX)
    }

    fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<(String, u32)>, InputError> {
        let mut table = Table::open_bounded(path, COLUMNS, bytes_max)?;
        let mut rows = Vec::new();
        while let Some(row) = table.next()? {
            rows.push((row.text(0)?.to_owned(), row.number(1, "a count")?));
        }
        table.finish()?;
        Ok(rows)
    }

    fn accepted(content: &[u8]) -> Vec<(String, u32)> {
        let (_dir, path) = file(content);
        read(&path).unwrap_or_else(|error| panic!("{}: {error}", content.escape_ascii()))
    }

    /// Long enough that the compressed data is more than header and trailer.
    fn many_rows() -> Vec<u8> {
        let rows = (0..5_000u32).map(|count| format!("n{},{count}\n", count.wrapping_mul(40_503)));
        format!("name,count\n{}", rows.collect::<String>()).into_bytes()
    }

    #[test]
    fn every_spelling_of_a_file_gives_the_same_rows() {
        let expected = vec![("a".to_owned(), 1), ("b".to_owned(), 2)];
        for content in [
            "name,count\na,1\nb,2\n",
            "name,count\na,1\nb,2",
            "count,name\n1,a\n2,b\n",
            "name,count\r\na,1\r\nb,2\r\n",
            "name,count\r\na,1\nb,2\r\n",
            "\u{feff}name,count\na,1\nb,2\n",
            "\u{feff}\"name\",\"count\"\r\n\"a\",\"1\"\r\n\"b\",\"2\"\r\n",
            "\nname,count\n\na,1\n\r\nb,2\n\n",
        ] {
            assert_eq!(accepted(content.as_bytes()), expected, "{content:?}");
            assert_eq!(accepted(&gzip(content.as_bytes())), expected, "{content:?} as gzip");
        }
    }

    #[test]
    fn gzip_may_come_in_members() {
        let members = [gzip(b"name,count\na,1\n"), gzip(b"b,2\n")].concat();
        assert_eq!(accepted(&members).len(), 2);
    }

    #[test]
    fn quotes_may_hold_commas_quotes_and_nothing() {
        let rows = accepted(b"name,count\n\"a,b\",1\n\"say \"\"hi\"\"\",2\n\"\",\"3\"\n");
        let names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a,b", "say \"hi\"", ""]);
    }

    #[test]
    fn a_file_that_is_not_there_cannot_be_opened() {
        let (dir, _) = file(b"");
        let error = read(&dir.path().join("absent.csv")).unwrap_err();
        assert!(matches!(error, InputError::CannotOpen { .. }), "{error}");
        assert!(error.to_string().contains("absent.csv: cannot be opened: "), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn a_directory_cannot_be_read() {
        let (dir, _) = file(b"");
        let error = read(dir.path()).unwrap_err();
        assert!(matches!(error, InputError::CannotRead { line: 1, .. }), "{error}");
    }

    #[test]
    fn a_file_of_nothing_is_empty() {
        let expected = "input.csv:1: empty: expected the header name,count";
        for content in ["", "\n", "\r\n\r\n", "\u{feff}"] {
            assert_eq!(refusal(read, content.as_bytes()), expected, "{content:?}");
            assert_eq!(refusal(read, &gzip(content.as_bytes())), expected, "{content:?} as gzip");
        }
    }

    #[test]
    fn a_header_alone_has_no_rows() {
        assert_eq!(refusal(read, b"name,count\n"), "input.csv:1: no rows after the header");
        assert_eq!(refusal(read, b"\nname,count"), "input.csv:2: no rows after the header");
    }

    #[test]
    fn a_header_names_each_column_once_and_no_other() {
        let found = |content: &str| refusal(read, content.as_bytes());
        let tail = "expected name,count, found";
        assert_eq!(
            found("name\na\n"),
            format!("input.csv:1: header: no column 'count': {tail} \"name\"")
        );
        assert_eq!(
            found("name,count,age\na,1,9\n"),
            format!("input.csv:1: header: unknown column \"age\": {tail} \"name,count,age\"")
        );
        assert_eq!(
            found("name,name\na,1\n"),
            format!("input.csv:1: header: column \"name\" named twice: {tail} \"name,name\"")
        );
        // Rows without a header, other case, other separator: all are unknown columns.
        for content in ["a,1\n", "Name,count\na,1\n", "name;count\na;1\n", "name,count\ra,1\r"] {
            assert!(found(content).starts_with("input.csv:1: header: unknown column "));
        }
    }

    #[test]
    fn a_row_has_a_field_for_every_column() {
        assert_eq!(
            refusal(read, b"name,count\na,1\nb\n"),
            "input.csv:3: field 'count': missing: the row ends before it"
        );
        assert_eq!(
            refusal(read, b"count,name\n1\n"),
            "input.csv:2: field 'name': missing: the row ends before it"
        );
        assert_eq!(
            refusal(read, b"name,count\na,1,2\n"),
            "input.csv:2: after field 'count': expected the end of the line, found \"2\""
        );
    }

    #[test]
    fn an_open_quote_is_named_where_it_opens() {
        let expected = "input.csv:3: field 'name': a quoted text runs past the end of the line";
        assert_eq!(refusal(read, b"name,count\na,1\n\"b,2\nc,3\nd,4\n"), expected);
        assert_eq!(refusal(read, b"name,count\na,1\n\"b\nc\",3\nd,4\n"), expected);
    }

    #[test]
    fn lines_are_counted_past_blank_ones_and_with_any_line_end() {
        let expected = "input.csv:5: field 'count': expected a count, found \"x\"";
        for content in [
            "name,count\n\na,1\n\nb,x\nc,3\n",
            "name,count\r\n\r\na,1\r\n\r\nb,x\r\nc,3\r\n",
            "\n\nname,count\n\nb,x",
        ] {
            assert_eq!(refusal(read, content.as_bytes()), expected, "{content:?}");
        }
    }

    #[test]
    fn text_must_be_utf8() {
        assert_eq!(
            refusal(read, b"name,count\na,1\nJos\xe9,2\n"),
            "input.csv:3: field 'name': not UTF-8"
        );
        let header = refusal(read, b"n\xe4me,count\na,1\n");
        assert!(header.starts_with("input.csv:1: header: unknown column \"n\u{fffd}me\""));
    }

    #[test]
    fn gzip_cut_anywhere_is_truncated() {
        let whole = gzip(&many_rows());
        for length in [2, 9, 10, 11, whole.len() / 2, whole.len() - 8, whole.len() - 1] {
            let error = refusal(read, &whole[..length]);
            assert!(error.ends_with(": the gzip data stops short of its end"), "{length}: {error}");
        }
    }

    #[test]
    fn gzip_with_a_changed_byte_is_damaged() {
        let mut changed = gzip(&many_rows());
        let checksum_at = changed.len() - 8;
        changed[checksum_at] ^= 1;
        let error = refusal(read, &changed);
        assert!(error.contains(": the gzip data is damaged: "), "{error}");

        let with_a_tail = [gzip(b"name,count\na,1\n").as_slice(), b"not gzip at all"].concat();
        let error = refusal(read, &with_a_tail);
        assert!(error.contains(": the gzip data is damaged: "), "{error}");
    }

    #[test]
    fn content_is_bounded_after_unpacking() {
        let bounded = |path: &Path| read_bounded(path, 1_000);
        let error = refusal(bounded, &gzip(&many_rows()));
        assert!(error.ends_with(": the content is longer than 1000 bytes"), "{error}");
        let error = refusal(bounded, &many_rows());
        assert!(error.ends_with(": the content is longer than 1000 bytes"), "{error}");
    }

    #[test]
    fn a_long_field_is_cut_in_the_message() {
        let long = "é".repeat(10_000);
        let error = refusal(read, format!("name,count\na,{long}\n").as_bytes());
        let cut = "é".repeat(60);
        let expected = format!("field 'count': expected a count, found \"{cut}\"…");
        assert_eq!(error, format!("input.csv:2: {expected}"));
    }

    #[test]
    fn every_error_has_a_code_and_a_help() {
        for content in ["", "name\n", "name,count\n", "name,count\na\n", "name,count\na,x\n"] {
            let (_dir, path) = file(content.as_bytes());
            let error = read(&path).unwrap_err();
            assert!(error.code().is_some() && error.help().is_some(), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(content in any::<Vec<u8>>(), header in any::<bool>()) {
            let head: &[u8] = if header { b"name,count\n" } else { b"" };
            let content = [head, &content].concat();
            for content in [gzip(&content), content] {
                let (_dir, path) = file(&content);
                if let Err(error) = read(&path) {
                    prop_assert!(!error.to_string().contains('\n'), "{}", error);
                }
            }
        }

        #[test]
        fn no_damage_to_gzip_changes_what_is_read(
            at in any::<prop::sample::Index>(),
            bit in 0..8u8,
        ) {
            // Some bits mean nothing, such as the time in the header; those may pass.
            let mut content = gzip(b"name,count\na,1\nb,2\n");
            let rows = accepted(&content);
            let at = at.index(content.len());
            content[at] ^= 1 << bit;
            let (_dir, path) = file(&content);
            prop_assert!(read(&path).map_or(true, |found| found == rows));
        }
    }
}
